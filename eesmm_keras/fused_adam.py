"""AdamW by PyTorch's fused kernels: a call for all variables of one rate; no wait for the device."""

import torch

# Adam's corrections of the first steps are in the rate already; PyTorch's of this step are 1.
_LATE = 1e9


def all_finite(gradients):
    """bool tensor `()`: whether all numbers in a list of gradients are finite."""
    return torch.isfinite(torch.stack(torch._foreach_norm(gradients)).sum())


class FusedAdam:
    """One step of AdamW, which changes nothing unless `good`.

    Args:
        good: bool tensor `()`. rate: learning rate with Adam's correction for the first steps, a
            tensor `()`. decay: share of a weight that decays at a learning-rate factor of 1, a tensor.
        beta_1, beta_2, epsilon: Adam's, floats.
    """

    def __init__(self, good, rate, decay, beta_1, beta_2, epsilon):
        self.bad = torch.logical_not(good).to(torch.float32)
        self.rate, self.decay = rate, torch.where(good, decay, 0.0)
        self.late = torch.full_like(self.bad, _LATE)
        self.numbers = {"beta1": beta_1, "beta2": beta_2, "eps": epsilon}

    def __call__(self, gradients, values, first, second, factor, decayed):
        """Update `values` and both of their moments in place, lists of tensors.

        Args:
            factor: on the learning rate. decayed: whether these weights decay.
        """
        gradients = [
            gradient.to(value.dtype).contiguous()
            for gradient, value in zip(gradients, values, strict=True)
        ]
        with torch.no_grad():
            if decayed:
                torch._foreach_mul_(values, 1 - self.decay * factor)
            torch._fused_adam_(
                values, gradients, first, second, [], [self.late] * len(values),
                lr=self.rate * factor, weight_decay=0.0, amsgrad=False, maximize=False,
                found_inf=self.bad, **self.numbers,
            )  # fmt: skip

"""Fine-tuning of a part of an encoder: frozen stages, and low-rank updates of dense layers (LoRA)."""

import keras
import numpy as np

from eesmm_keras.errors import UserError


def freeze_stages(backbone, count):
    """Freeze the first stages of an encoder; with all of them, its last norm too.

    Their variables are not trainable any more: they get neither gradients nor weight decay and stay
    as they are bit for bit. Dropout and stochastic depth act in them as everywhere else.

    Args:
        backbone: a `Backbone`. Its stages are what `stage_depths` lists: those of a Swin, the blocks of
            a ViT. The patch embedding (and positions and class token) freezes with the first one,
            a patch merging with the stage before it.
        count: number of stages, from 0.

    Raises:
        UserError: more than there are.
    """
    depths = backbone.stage_depths
    if not 0 <= count <= len(depths):
        raise UserError(
            f"Setting freeze must be from 0 to {len(depths)}, the number of stages of this encoder "
            f"(its blocks, in a ViT), got {count}."
        )
    if count == 0:
        return
    last = sum(depths[:count]) if count < len(depths) else backbone.num_blocks + 1
    for variable in backbone.trainable_variables:
        if backbone.depth_of(variable.path) <= last:
            variable.trainable = False


def add_lora(backbone, rank):
    """Leave an encoder's weights as they are and train low-rank updates of them (Hu et al., 2022).

    Every dense layer (`Dense`, `EinsumDense`, by Keras' own `enable_lora`) computes with
    `kernel + a @ b`; `a (inputs, rank)` and `b (rank, outputs)` learn, and `b` begins with zeros. All
    else is frozen: kernels, biases, norms, tokens and position tables. Layers that are frozen already
    stay so, and so do those in which `a` and `b` would hold no fewer numbers than the kernel.

    Args:
        backbone: an encoder without LoRA.
        rank: of the updates, from 1.

    Returns:
        Number of layers with an update.

    Raises:
        UserError: there would be none.
    """
    layers = [layer for layer in _layers(backbone) if _gains(layer, rank)]
    if not layers:
        raise UserError(
            f"Setting lora: no layer of this encoder that is not frozen is wide enough for a rank of "
            f"{rank}. Choose a smaller rank, or freeze fewer stages."
        )
    for variable in backbone.trainable_variables:
        variable.trainable = False
    for layer in layers:
        layer.enable_lora(rank)
    return len(layers)


def _layers(model):
    # Keras 3.15 offers no public way to layers inside of layers; KerasHub goes this one.
    return model._flatten_layers(include_self=False)


def _has_lora(layer):
    return getattr(layer, "lora_enabled", False)


def _gains(layer, rank):
    """Whether low-rank updates of a layer are possible and smaller than its kernel."""
    if not isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense):
        return False
    shape = layer.kernel.shape
    pair = rank * (int(np.prod(shape[:-1])) + shape[-1])
    return layer.kernel.trainable and pair < int(np.prod(shape))


def merged_weights(model):
    """`[(path, value), ...]` as a model without LoRA has them, in the order of `model.weights`.

    A value is a variable, or a tensor where an update was added to a kernel.
    """
    kernels, pairs = {}, set()
    for layer in filter(_has_lora, _layers(model)):
        kernels[layer.path + "/kernel"] = layer.kernel
        pairs |= {id(layer.lora_kernel_a), id(layer.lora_kernel_b)}
    return [(v.path, kernels.get(v.path, v)) for v in model.weights if id(v) not in pairs]


def plain_copy(model):
    """A model of the same numbers without LoRA (updates are added to kernels), all of it trainable.

    Args:
        model: of this package. The copy is not compiled.
    """
    copy = type(model).from_config(model.get_config())
    copy.set_weights([keras.ops.convert_to_numpy(value) for _, value in merged_weights(model)])
    return copy


def without_lora(model):
    """The model itself where it has no LoRA, or a `plain_copy`."""
    return plain_copy(model) if any(_has_lora(layer) for layer in _layers(model)) else model


def parameters(model):
    """`(numbers that are trained, all numbers)` of a model; updates of LoRA count among both."""
    return tuple(
        sum(int(np.prod(v.shape)) for v in some)
        for some in (model.trainable_weights, model.weights)
    )

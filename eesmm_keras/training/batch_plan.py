"""How many images a step takes and how many steps an epoch has: the one place that decides it."""

from dataclasses import dataclass

from eesmm_keras.errors import UserError


@dataclass(frozen=True)
class BatchPlan:
    """Batches of a run, over all devices of all hosts. See `make`, which checks them.

    Attributes:
        batch_size: images per step. steps: per epoch. epochs: of the whole run.
        group: neighbours in a batch that make one sample.
        images: in the data set.
    """

    batch_size: int
    steps: int
    epochs: int
    group: int
    images: int

    @property
    def total_steps(self):
        """Of all epochs."""
        return self.epochs * self.steps

    @classmethod
    def make(cls, settings, images, *, group=1, least=1, replicas=1, begun_with=None):
        """The plan that settings, data and devices allow.

        A batch is at most as large as the data set; an epoch that is not told its steps shows about as
        many images as there are. A run that goes on keeps the batches and the steps that it was begun
        with, however many images there are now: its learning rate is a function of the step.

        Args:
            settings: with `batch_size`, `steps_per_epoch` (or None), `epochs` and `data`.
            images: number of images.
            group: images that make one sample; every device gets a multiple of it.
            least: images that every device needs at least.
            replicas: devices that share a batch.
            begun_with: dict with the "batch_size" and "steps_per_epoch" of the run that goes on.

        Raises:
            UserError: too few images, or a batch that cannot be shared out.
        """
        asked = settings.batch_size
        divisor = group * replicas
        if images < group:
            raise UserError(
                f"{settings.data} holds {images} image{'s' * (images != 1)}, and {group} are mixed "
                f"into one: at least {group} are needed."
            )
        why = [f"{replicas} devices"] * (replicas > 1) + [f"samples of {group} images"] * (
            group > 1
        )
        if begun_with:
            batch_size, steps = begun_with["batch_size"], begun_with["steps_per_epoch"]
        else:
            # What was asked for must divide, also where fewer images make the batches smaller.
            batch_size = asked
            if asked % divisor == 0:
                batch_size = min(asked, max(divisor, images // divisor * divisor))
            steps = settings.steps_per_epoch or max(1, round(images / batch_size))
        if batch_size % divisor:
            raise UserError(
                f"--batch-size {batch_size} must be a multiple of {divisor}: {', and '.join(why)}."
            )
        if batch_size // replicas < least:
            raise UserError(
                f"--batch-size {batch_size} must be at least {replicas * least}: {replicas} "
                f"device{'s' * (replicas != 1)}, and {least} images on each."
            )
        return cls(batch_size, steps, settings.epochs, group, images)

    def in_words(self, asked):
        """Line about a batch size that is not the one asked for; an empty text where it is."""
        if self.batch_size == asked:
            return ""
        reason = (
            "there is only 1 image" if self.images == 1 else f"there are only {self.images} images"
        )
        if self.images > self.batch_size + self.group:
            reason = "the run was begun with them, when there were fewer images"
        return f"Batches of {self.batch_size}: {reason}."

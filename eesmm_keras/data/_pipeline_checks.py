"""What the pipelines of training and evaluation refuse."""

from eesmm_keras.data.errors import DataError


def check_training(source, batch_size, steps, start_step, seed, group, shard):
    """Raise DataError unless training can read so; arguments as in `pipeline.pretrain_dataset`."""
    if not 0 <= start_step <= steps:
        raise DataError(f"Expected 0 <= start_step <= steps, got {start_step} and {steps}.")
    if seed < 0:
        raise DataError(f"seed must be 0 or more, got {seed}.")
    count = len(source)
    if count < group or batch_size % group:
        raise DataError(
            f"{group} different images are mixed into one: expected a batch size that is a "
            f"multiple of {group} and at least {group} images, received batches of {batch_size} "
            f"and {count} image{'s' * (count != 1)} in '{source.name}'."
        )
    part, parts = shard
    if not 0 <= part < parts or batch_size % (group * parts):
        raise DataError(
            f"shard must be (index, count) with 0 <= index < count, and {group} * count must divide "
            f"the batch size {batch_size}; received {shard}."
        )


def labels_of(source):
    """The `Labels` of a source."""
    if source.annotations is None:
        raise DataError(
            f"'{source.name}' has no labels. Expected one folder per class, or a TFDS data set "
            "with class labels; open it with labelled=True to learn more."
        )
    return source.annotations


def check_positive(**values):
    """Raise DataError for a number below 1."""
    for name, value in values.items():
        if value < 1:
            raise DataError(f"{name} must be 1 or more, got {value}.")

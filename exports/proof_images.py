"""Images for an export of a lower precision: some to calibrate with, others to judge by."""

from eesmm_keras.data.labels import CLASSES
from eesmm_keras.data.pipeline import load_arrays
from eesmm_keras.data.sources import open_source
from eesmm_keras.exports.reduction import Reduction
from eesmm_keras.exports.source import backbone_of
from eesmm_keras.tasks.task import Task
from eesmm_keras.training.inputs import reading_of

# Judged on so many at most. Feature pyramids and masks are large, and a few images have many numbers.
JUDGED, JUDGED_FEATURES = 1000, 64
_COMPARED = 16


def reduction_of(model, data, precision, *, features=False, calibration=128, max_drop=1.0, **where):
    """A `Reduction` with images of a data set.

    Calibration takes images of the train part, evenly spread over it (and so over the classes of a
    folder); the judged ones are spread over the test part, see `open_source`. Both are a function of
    the data and the numbers.

    Args:
        model: that is exported. data: see `open_source`; None: no images at all.
        precision: "float16" or "int8". features: whether features are exported.
        calibration: number of images. max_drop: see `Reduction`.
        **where (data_dir, max_image_pixels, follow_links): see `open_source`.

    Raises:
        UserError: no images, or labels of other classes than the model's.
    """
    if data is None:
        return Reduction(precision, max_drop=max_drop)
    features = features or not isinstance(model, Task)
    dense = not features and model.label_kind != CLASSES
    backbone = backbone_of(model)
    size, where = backbone.image_shape[:2], {**where, "reading": reading_of(backbone)}
    test = open_source(data, "test", **where)
    if not features and test.labels is not None:
        model.check_source(test)
    known = None
    if precision == "int8":
        train = open_source(data, "train", **where)
        known, _ = load_arrays(train, size, limit=calibration, whole=dense)
    limit = JUDGED_FEATURES if features or dense else JUDGED
    images, labels = load_arrays(test, size, limit=limit, whole=dense)
    return Reduction(precision, known, images, None if features else labels, max_drop)


def sample_images(model, data, **where):
    """Images of a data set to compare an export on, as `export_model` takes them."""
    backbone = backbone_of(model)
    source = open_source(data, **where, reading=reading_of(backbone))
    return load_arrays(source, backbone.image_shape[:2], limit=_COMPARED)[0]

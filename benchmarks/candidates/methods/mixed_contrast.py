"""A candidate of docs/evidence.md: contrast between mixes of images instead of images."""

import keras
from keras import ops

from eesmm_keras.methods.contrastive import ContrastiveMIM
from eesmm_keras.methods.method import BatchRule


@keras.saving.register_keras_serializable(package="eesmm_candidates")
class MixedContrastMIM(ContrastiveMIM):
    """`ContrastiveMIM` on the averages of two neighbouring images of the batch, as EESMM mixes them.

    Each image of a pair is cropped by itself, twice. A mix must find the mix of the same two images
    among all mixes of the batch. A step costs what one on half as many images costs.

    Args: see `ContrastiveMIM`.
    """

    @classmethod
    def batch_rule(cls, arguments):
        return BatchRule(images_per_sample=2, smallest_batch=4, views=2)

    def cropped(self, images, training):
        crops = super().cropped(images, training)
        pairs = ops.reshape(crops, (-1, 2, *crops.shape[1:]))
        return ops.mean(pairs, axis=1)

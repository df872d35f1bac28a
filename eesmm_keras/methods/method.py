import inspect

import numpy as np
from keras import ops

from eesmm_keras.guarded_model import FiniteMean, GuardedModel, guarded
from eesmm_keras.ops.patches import units_to_images
from eesmm_keras.parallel import replica


class MaskedImageModel(GuardedModel):
    """What all masked-image-modelling methods share.

    A method tells its story in `call(images, hidden=None, training=False)`, which returns a dict with
    all that the loss and the pictures need; `loss_terms(outputs)` returns the total loss and its
    named parts; `pictures(outputs)` the images a person looks at. `compile(optimizer)` needs no
    loss, and `fit` takes images, `(images, labels)` or datasets of either; labels are ignored.

    Args:
        backbone: the encoder, for example a `SwinBackbone`. It is what one keeps after training.
        loss_names: names of the parts of the loss, shown in the logs beside `loss`.
        seed: int, or None to draw one. Masks and everything else random follow from it.

    Attributes:
        images_per_sample: how many images of a batch make one sample that the encoder sees.
        smallest_batch: images that a batch must hold at least.
        learning_rate_scale: factor on the learning rate that the method asks for.
    """

    images_per_sample = 1
    smallest_batch = 1
    learning_rate_scale = 1.0

    def __init__(self, backbone, loss_names=(), seed=None, **kwargs):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.seed = int(np.random.randint(2**31) if seed is None else seed)
        self.unit_pixels = backbone.stride**2 * backbone.image_shape[-1]
        self.loss_trackers = {name: FiniteMean(name=name) for name in loss_names}

    @property
    def no_weight_decay(self):
        return ("mask_token", *super().no_weight_decay)

    # === What a method defines ===

    @classmethod
    def images_in_sample(cls, arguments):
        """`images_per_sample` of a model that is built with these arguments, a dict."""
        return cls.images_per_sample

    @classmethod
    def views_of(cls, arguments):
        """Masked views of each image in a step, of a model built with these arguments, a dict."""
        default = inspect.signature(cls).parameters.get("num_views")
        return arguments.get("num_views", default.default if default else 1)

    def call(self, images, hidden=None, training=False):
        raise NotImplementedError

    def loss_terms(self, outputs):
        """`(total, {name: term})`, scalars in float32."""
        raise NotImplementedError

    def pictures(self, outputs):
        """Dict of pixel images 0..255, one row a sample of `outputs`."""
        raise NotImplementedError

    def sample_hidden(self, seed):
        """A mask drawn on the host: `(masks, N)`, 1 = hidden."""
        raise NotImplementedError

    # === Keras training loop ===

    def fit(self, x=None, y=None, batch_size=None, **kwargs):
        """`keras.Model.fit` on images; see the class. A batch must hold enough images for one sample.

        Raises:
            ValueError: arrays whose batches (the last one included) would be too small.
        """
        if hasattr(x, "shape") and len(x.shape) == 4:
            self._check_batches(x.shape[0], batch_size or 32)
        return super().fit(x, y, batch_size=batch_size, **kwargs)

    def _check_batches(self, images, batch_size):
        need, last = max(self.images_per_sample, self.smallest_batch), images % batch_size
        if min(images, batch_size) < need or 0 < last < need:
            smallest = min(images, batch_size, last or batch_size)
            raise ValueError(
                f"{type(self).__name__} takes at least {need} images, but a batch would hold "
                f"{smallest} ({images} images in batches of {batch_size}). Choose another batch "
                "size or number of images."
            )

    def train_step(self, *args):
        *state, data = args
        return super().train_step(*state, _images_only(data))

    def test_step(self, *args):
        *state, data = args
        return super().test_step(*state, _images_only(data))

    def predict_step(self, *args):
        """Pictures of the batch (see `pictures`)."""
        *state, data = args
        result = super().predict_step(*state, _images_only(data))
        # JAX returns its state beside the outputs.
        if isinstance(result, tuple):
            return (self.pictures(result[0]), *result[1:])
        return self.pictures(result)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        total, terms = self.loss_terms(y_pred)
        for name, term in terms.items():
            # Weighted like Keras' own loss, so that the parts add up over uneven batches too.
            self.loss_trackers[name].update_state(term, sample_weight=ops.shape(x)[0])
        # TensorFlow sums the gradients of all replicas: their losses must be averaged.
        return guarded(total / replica()[0])

    # === Looking at the results ===

    def reconstruct(self, images, hidden=None, seed=0):
        """Pictures of one batch, as NumPy arrays (see the method's `pictures`).

        Args:
            images: `(B, H, W, C)` pixel values 0..255.
            hidden: `(masks, N)`, 1 = hidden; None draws a mask from `seed`, so that pictures of
                the same images at two stages of training hide the same units.
        """
        self._check_batches(len(images), len(images))
        hidden = self.sample_hidden(seed) if hidden is None else hidden
        outputs = self(images, hidden=hidden, training=False)
        pictures = self.pictures(outputs)
        return {name: ops.convert_to_numpy(picture) for name, picture in pictures.items()}

    def to_pixels(self, units):
        """Normalised units `(..., N, P)` -> pixel images `(..., H, W, C)`, 0..255."""
        backbone = self.backbone
        images = units_to_images(
            ops.reshape(units, (-1, *units.shape[-2:])), backbone.grid, backbone.stride
        )
        mean = ops.convert_to_tensor(backbone.mean, "float32")
        std = ops.convert_to_tensor(backbone.std, "float32")
        images = ops.clip((images * std + mean) * 255.0, 0.0, 255.0)
        return ops.reshape(images, (-1, *units.shape[1:-2], *images.shape[1:]))

    # === Saving ===

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def _images_only(data):
    return data[0] if isinstance(data, tuple | list) else data

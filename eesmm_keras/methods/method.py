import inspect
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from eesmm_keras.backbones.backbone import check_encoder
from eesmm_keras.checks import check_whole
from eesmm_keras.device_waits import SeedGenerator
from eesmm_keras.errors import UserError
from eesmm_keras.guarded_model import FiniteMean, GuardedModel, guarded
from eesmm_keras.methods._inputs import images_only, training_images
from eesmm_keras.names import counted
from eesmm_keras.ops import masking
from eesmm_keras.ops.patches import units_to_images
from eesmm_keras.parallel import replica

# Masks over which `macs` averages.
_MASKS = 16


class BatchRule(NamedTuple):
    """What a method asks of its batches.

    Attributes:
        images_per_sample: images that make one sample; a batch holds a multiple of it, and they are
            never cut apart.
        smallest_batch: images that a step needs at least, on each device.
        views: masked views of each image in a step.
    """

    images_per_sample: int = 1
    smallest_batch: int = 1
    views: int = 1


class MaskedImageModel(GuardedModel):
    """What all masked-image-modelling methods are: the contract of this folder.

    A method sets `masking` in its constructor and tells its whole story in `view(images, mask,
    training)`: from the images to a dict with all that its `view_loss` and `view_pictures` need. With
    several views (disjoint masking, DMJD) an image is masked several times in a step, and the loss is
    the mean over the views. `compile(optimizer)` needs no loss, and `fit` takes images,
    `(images, labels)` or data sets of either; labels are ignored.

    Every argument of a method's constructor is kept as an attribute of its own name (but `loss`, a
    name of Keras: `loss_kind`), from which `get_config` is made.

    Args:
        backbone: the encoder, a `Backbone`. It is what one keeps after training.
        loss_names: names of the parts of the loss, shown in the logs beside `loss`.
        seed: int, or None to draw one. Masks and everything else random follow from it.

    Attributes (a default in brackets):
        masking: a `layers.masking.masking.Masking`, which draws the masks of a step.
        decoder: a part whose work `macs` counts [None].
        encodes_visible: whether the encoder runs on visible units only, for `macs` [False].
        learning_rate_scale: factor on the learning rate that the method asks for [1].
    """

    encodes_visible = False

    def __init__(self, backbone, loss_names=(), seed=None, **kwargs):
        super().__init__(**kwargs)
        check_encoder(backbone, type(self).__name__)
        # Not of the class: on PyTorch a class's attribute would hide the module of the same name.
        self.masking = self.decoder = None
        self.backbone = backbone
        drawn = np.random.randint(2**31) if seed is None else seed
        self.seed = check_whole("seed", drawn, 0, 2**32 - 1)
        self.loss_trackers = {name: FiniteMean(name=name) for name in loss_names}

    def seed_generator(self, number=0):
        """A `keras.random.SeedGenerator` that follows from `seed`, another one for each `number`."""
        return SeedGenerator(self.seed + number)

    @property
    def derived_variables(self):
        return self.masking.derived_variables if self.masking else ()

    @property
    def no_weight_decay(self):
        return ("mask_token", *super().no_weight_decay)

    # === What a method defines ===

    def view(self, images, mask, training):
        """One masked view: a dict of tensors.

        Args:
            images: `(B, H, W, C)` pixel values 0..255. mask: `layers.masking.mask.Mask`.
        """
        raise NotImplementedError

    def view_loss(self, view):
        """`(total, {name: term})` of what `view` returned, scalars in float32."""
        raise NotImplementedError

    def view_pictures(self, view):
        """Dict of pixel images 0..255, one row per sample of what `view` returned."""
        raise NotImplementedError

    @classmethod
    def batch_rule(cls, arguments):
        """`BatchRule` of a model that is built with these arguments, a dict."""
        default = inspect.signature(cls).parameters.get("num_views")
        return BatchRule(views=arguments.get("num_views", default.default if default else 1))

    def head_macs(self, visible, scored):
        """Multiply-accumulates behind the encoder, for one sample: of `decoder`, if there is one."""
        if self.decoder is None:
            return 0
        return self.decoder.macs(self.backbone.num_features, visible, scored)

    # === One step ===

    def call(self, images, hidden=None, training=False):
        """All views of a batch.

        Args:
            images: `(B, H, W, C)` pixel values 0..255.
            hidden: optional masks of the caller's choice, see `Masking.given`; None draws some.

        Returns:
            what `view` returns, or with several views `{"view_0": ..., "view_1": ...}`.
        """
        batch = ops.shape(images)[0]
        given = hidden is not None
        masks = self.masking.given(hidden, batch) if given else self.masking.draw(batch)
        views = [self.view(images, mask, training=training) for mask in masks]
        if len(views) == 1:
            return views[0]
        return {f"view_{number}": view for number, view in enumerate(views)}

    def _views(self, outputs):
        return list(outputs.values()) if "view_0" in outputs else [outputs]

    def loss_terms(self, outputs):
        """Mean over the views of `view_loss`: `(total, {name: term})`."""
        views = [self.view_loss(view) for view in self._views(outputs)]
        return keras.tree.map_structure(lambda *values: sum(values) / len(values), *views)

    def pictures(self, outputs):
        """Those of the first view."""
        return self.view_pictures(self._views(outputs)[0])

    # === Keras' training loop ===

    def fit(self, x=None, y=None, batch_size=None, **kwargs):
        """`keras.Model.fit` on images; see the class. A batch must hold enough images for one sample.

        Raises:
            UserError: a path, a list, arrays that are no images of the encoder's shape or not finite,
                or whose batches (the last one included) would be too small.
        """
        x = training_images(x, self.backbone.image_shape)
        if hasattr(x, "shape"):
            self.check_batches(x.shape[0], batch_size or 32)
        return super().fit(x, y, batch_size=batch_size, **kwargs)

    @property
    def rule(self):
        """This model's `BatchRule`."""
        return self.batch_rule(self.arguments)

    @property
    def images_per_sample(self):
        return self.rule.images_per_sample

    def check_batches(self, images, batch_size):
        """Raise a UserError if batches of so many images would be too small."""
        need, last = max(self.rule[:2]), images % batch_size
        if min(images, batch_size) < need or 0 < last < need:
            smallest = min(images, batch_size, last or batch_size)
            raise UserError(
                f"{type(self).__name__} takes at least {need} images, but a batch would hold "
                f"{smallest} ({counted(images, 'image')} in batches of {batch_size}). Choose "
                "another batch size or number of images."
            )

    def train_step(self, *args):
        *state, data = args
        return super().train_step(*state, images_only(data))

    def test_step(self, *args):
        *state, data = args
        return super().test_step(*state, images_only(data))

    def predict_step(self, *args):
        """Pictures of the batch (see `pictures`)."""
        *state, data = args
        result = super().predict_step(*state, images_only(data))
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

    def sample_hidden(self, seed):
        """Masks drawn on the host: `(masks, N)`, 1 = hidden."""
        return self.masking.sample(seed)

    def reconstruct(self, images, hidden=None, seed=0):
        """Pictures of one batch, as NumPy arrays (see the method's `view_pictures`).

        Args:
            images: `(B, H, W, C)` pixel values 0..255.
            hidden: `(masks, N)`, 1 = hidden; None draws a mask from `seed`, so that pictures of
                the same images at two stages of training hide the same units.

        Raises:
            UserError: too few images.
        """
        self.check_batches(len(images), len(images))
        hidden = self.sample_hidden(seed) if hidden is None else hidden
        pictures = self.pictures(self(images, hidden=hidden, training=False))
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

    def macs(self):
        """Multiply-accumulates of a forward pass for one image and step, matrix products only.

        Averaged over masks. (A training step is three forward passes' worth.)
        """
        encoder = None if self.encodes_visible else self.backbone.macs()
        total, count, units = 0, 0, self.backbone.grid[0] * self.backbone.grid[1]
        for seed in range(_MASKS):
            for hidden in self.sample_hidden(seed).reshape(self.rule.views, -1, units):
                order, visible = masking.unit_order(hidden)
                scored = units - visible if len(hidden) == 1 else units
                total += encoder or self.backbone.macs(order[:visible])
                total += self.head_macs(visible, scored)
                count += 1
        return total / count * self.rule.views / self.rule.images_per_sample

    # === Saving ===

    @property
    def arguments(self):
        """What the constructor was given, without the encoder: a dict."""
        known = inspect.signature(type(self).__init__).parameters
        names = [name for name in known if name not in ("self", "backbone", "kwargs")]
        return {name: getattr(self, "loss_kind" if name == "loss" else name) for name in names}

    def get_config(self):
        return {**super().get_config(), **self.arguments}

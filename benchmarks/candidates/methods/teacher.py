"""A candidate of docs/evidence.md: predict what a moving average of the encoder makes of the image."""

import keras
from keras import ops

from eesmm_keras.checks import check_number
from eesmm_keras.decoders.transformer import TransformerDecoder
from eesmm_keras.layers.masking.bank import MaskBank
from eesmm_keras.methods.greenmim import GreenMIM
from eesmm_keras.methods.hidden_pixels import HiddenPixels
from eesmm_keras.ops import losses
from eesmm_keras.ops.patches import take_units


@keras.saving.register_keras_serializable(package="eesmm_candidates")
class TeacherMIM(HiddenPixels):
    """Several masked views of an image predict one target (data2vec 2.0, Baevski et al., 2022).

    The teacher, a moving average of the encoder, sees the whole image. Its tokens, normalised over an
    image's units, are what the decoder predicts at hidden units, beside the pixels.

    Args:
        backbone, mask_ratio, norm_pixels, decoder_dim, decoder_depth, decoder_num_heads, loss,
            mask_bank_size, num_views, seed: see `GreenMIM`.
        momentum: of the moving average, in [0, 1].
        pixels_weight: weight of the error on pixels beside that on the teacher's tokens.
    """

    encodes_visible = True

    def __init__(
        self, backbone, mask_ratio=0.75, norm_pixels=True, momentum=0.99, pixels_weight=1.0,
        decoder_dim=512, decoder_depth=1, decoder_num_heads=16, loss="mse", mask_bank_size=256,
        num_views=4, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, norm_pixels, loss, seed, **kwargs)
        self.mask_ratio, self.mask_bank_size = mask_ratio, mask_bank_size
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads, self.num_views = decoder_num_heads, num_views
        self.masking = MaskBank.of(
            backbone, mask_ratio, mask_bank_size, self.seed, num_views=num_views
        )
        self.momentum = check_number("momentum", momentum, 0, 1)
        self.pixels_weight = check_number("pixels_weight", pixels_weight, 0)
        self.decoder = TransformerDecoder.of(
            backbone, decoder_dim, decoder_depth, decoder_num_heads,
            output_dim=backbone.num_features + backbone.unit_pixels,
        )  # fmt: skip
        self.teacher = type(backbone).from_config({**backbone.get_config(), "name": "teacher"})
        self.teacher.set_weights(backbone.get_weights())
        self.teacher.trainable = False
        self.built = True

    def call(self, images, hidden=None, training=False):
        """See `MaskedImageModel.call`; every view has the teacher's tokens as `tokens (B, N, C)`."""
        if training:
            pairs = zip(self.teacher.weights, self.backbone.weights, strict=True)
            for kept, now in pairs:
                kept.assign(kept + (1 - self.momentum) * (ops.cast(now, kept.dtype) - kept))
        tokens = self.teacher(images, training=False)
        units = self.backbone.grid[0] * self.backbone.grid[1]
        tokens = ops.cast(ops.reshape(tokens, (-1, units, tokens.shape[-1])), "float32")
        centred = tokens - ops.mean(tokens, axis=1, keepdims=True)
        scale = ops.sqrt(ops.mean(ops.square(centred), axis=1, keepdims=True) + 1e-5)
        tokens = ops.stop_gradient(centred / scale)
        outputs = super().call(images, hidden, training)
        for view in self._views(outputs):
            view["tokens"] = tokens
        return outputs

    view = GreenMIM.view

    def view_loss(self, view):
        width, places = self.backbone.num_features, view["mask"].scored
        features, pixels = view["prediction"][..., :width], view["prediction"][..., width:]
        tokens = take_units(view["tokens"], places)
        total = ops.mean(losses.unit_errors(features, tokens, self.loss_kind))
        target = self.target(take_units(view["units"], places))
        of_pixels = ops.mean(losses.unit_errors(pixels, target, self.loss_kind))
        return total + self.pixels_weight * of_pixels, {}

    def view_pictures(self, view):
        width = self.backbone.num_features
        return super().view_pictures({**view, "prediction": view["prediction"][..., width:]})

    def macs(self):
        """The teacher has no backward pass, which is two thirds of a training step."""
        return super().macs() + self.backbone.macs() / 3

"""A candidate of docs/evidence.md: earlier stages help the decoder, or are trained themselves."""

import keras
from keras import ops

from eesmm_keras.checks import check_choice, check_flag, check_number
from eesmm_keras.decoders.transformer import TransformerDecoder
from eesmm_keras.layers.layer_normalization import LayerNormalization
from eesmm_keras.layers.masking.bank import MaskBank
from eesmm_keras.methods.hidden_features import feature_pictures
from eesmm_keras.methods.hidden_pixels import HiddenPixels
from eesmm_keras.ops import losses
from eesmm_keras.ops.patches import take_units, units_to_nested_patches
from eesmm_keras.ops.targets import HOGTarget


@keras.saving.register_keras_serializable(package="eesmm_candidates")
class DeepGreenMIM(HiddenPixels):
    """GreenMIM that uses all stages of a Swin.

    Args:
        backbone, mask_ratio, norm_pixels, decoder_dim, decoder_depth, decoder_num_heads, loss,
            mask_bank_size, seed: see `GreenMIM`.
        fused: the tokens of all stages of a visible unit enter the decoder (MFF, Liu et al., 2023).
        early_weight: weight of a second loss, whose decoder sees the stages before the last alone
            (DeepMIM, LocalMIM); 0: none.
        target: of both losses, "pixels" or "hog" (cells of 4 pixels, whitened cell by cell).
    """

    encodes_visible = True

    def __init__(
        self, backbone, mask_ratio=0.75, norm_pixels=True, fused=False, early_weight=0.0,
        target="pixels", decoder_dim=512, decoder_depth=1, decoder_num_heads=16, loss="mse",
        mask_bank_size=256, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, norm_pixels, loss, seed, **kwargs)
        self.mask_ratio, self.mask_bank_size = mask_ratio, mask_bank_size
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads = decoder_num_heads
        self.masking = MaskBank.of(backbone, mask_ratio, mask_bank_size, self.seed)
        self.fused = check_flag("fused", fused)
        self.early_weight = check_number("early_weight", early_weight, 0)
        # `target` is what compares pixels, in `HiddenPixels`.
        self.target_kind = check_choice("target", target, ("pixels", "hog"))
        self.hog = None
        size = backbone.unit_pixels
        if target == "hog":
            self.hog = HOGTarget(backbone.stride, backbone.image_shape[-1], 4)
            size = self.hog.size
        early = [stage.dim * stage.side**2 for stage in backbone.geometry[:-1]]
        self.early_size = sum(early)
        self.norms = []
        if fused or early_weight:
            self.norms = [LayerNormalization(name=f"early_{n}") for n in range(len(early))]
        for norm, width in zip(self.norms, early, strict=False):
            norm.build((None, None, width))
        self.input_size = backbone.num_features + (self.early_size if fused else 0)
        self.decoder = self._decoder("decoder", size, self.input_size)
        self.early_decoder = None
        if early_weight:
            self.early_decoder = self._decoder("early_decoder", size, self.early_size)
        self.built = True

    def _decoder(self, name, output_dim, input_dim):
        decoder = TransformerDecoder(
            self.backbone.grid, output_dim, self.decoder_dim, self.decoder_depth,
            self.decoder_num_heads, name=name,
        )  # fmt: skip
        decoder.build((None, None, input_dim))
        return decoder

    @property
    def arguments(self):
        return {**super().arguments, "target": self.target_kind}

    def _encode(self, units, plan, training):
        """`SwinBackbone.encode_visible`, with what enters each merging: all tokens of a unit as one."""
        backbone, early = self.backbone, []
        x = units_to_nested_patches(units, backbone.stride, backbone.patch_size)
        x = backbone.embedding_drop(backbone.patch_embedding(x, training=training))
        for number, stage in enumerate(backbone.stages):
            x = stage(x, groups=plan[f"stage_{number}"], training=training)
            if number < len(backbone.mergings):
                size = x.shape[1] // units.shape[1] * x.shape[2]
                early.append(ops.reshape(x, (-1, units.shape[1], size)))
                x = backbone.mergings[number](x, training=training)
        early = [norm(tokens) for norm, tokens in zip(self.norms, early, strict=False)]
        return backbone.norm(x, training=training), early

    def view(self, images, mask, training):
        units = self.backbone.units_of(images)
        latent, early = self._encode(take_units(units, mask.visible), mask.plan, training)
        places = {"visible": mask.visible, "scored": mask.scored, "training": training}
        whole = ops.concatenate([latent, *early], axis=-1) if self.fused else latent
        view = {"prediction": self.decoder(whole, **places), "units": units, "mask": mask}
        if self.early_decoder:
            view["early_prediction"] = self.early_decoder(ops.concatenate(early, axis=-1), **places)
        if self.hog:
            pixels = self.backbone.normalization(images)
            view["target"] = self.hog.features(pixels, self.backbone.std)
        return view

    def view_loss(self, view):
        places = view["mask"].scored
        if self.hog:
            target = self.hog(take_units(view["target"], places))
        else:
            target = self.target(take_units(view["units"], places))
        total = ops.mean(losses.unit_errors(view["prediction"], target, self.loss_kind))
        if self.early_decoder:
            early = losses.unit_errors(view["early_prediction"], target, self.loss_kind)
            total = total + self.early_weight * ops.mean(early)
        return total, {}

    def view_pictures(self, view):
        return feature_pictures(self, view, self.hog) if self.hog else super().view_pictures(view)

    def head_macs(self, visible, scored):
        total = self.decoder.macs(self.input_size, visible, scored)
        if self.early_decoder:
            total += self.early_decoder.macs(self.early_size, visible, scored)
        return total

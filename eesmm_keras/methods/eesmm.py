import keras
from keras import ops

from eesmm_keras.checks import MAX_MIXED, check_choice, check_flag, check_number, check_whole
from eesmm_keras.decoders.decompose_split import SplitSources
from eesmm_keras.decoders.decompose_subtract import SubtractSources
from eesmm_keras.decoders.transformer import TransformerDecoder
from eesmm_keras.layers.masking.bank import MaskBank
from eesmm_keras.methods.method import BatchRule
from eesmm_keras.methods.mixed_pixels import MixedPixels
from eesmm_keras.ops.mixing import ImageMixer, check_loss_weights, check_mix_weights
from eesmm_keras.ops.patches import take_units


@keras.saving.register_keras_serializable(package="eesmm_keras")
class EESMM(MixedPixels):
    """Masked image modelling with mixed images (Kang et al., 2025).

    `num_mixed` images are averaged into one (Algorithm 1), most mask units are hidden, the encoder
    sees the visible units only, a light decoder rebuilds the mix at the hidden ones, and the mix is
    decomposed into its sources (Eq. 4-6). The loss is Eq. 7 on the mix and on each source.

    A batch is cut into mixes of neighbouring images; the last mix is filled up with its first images.
    A batch of fewer than `num_mixed` is an error; where its size is known at run time only, loss 0.

    Args:
        backbone: encoder with `encode_visible`, for example `SwinBackbone`.
        mask_ratio: share of mask units that is hidden, rounded up (0.75; the paper's ablation: 0.70).
        num_mixed: images in a mix, n >= 2.
        mix_weights: the n lambdas, positive, sum 1; None gives 1/n each.
        mixing: "mean" (Algorithm 1), or "views": each source is the average of two views of its image
            (Eq. 3 with weights normalised), rotation and flip or scale and crop, and so is its target.
        mask_sharing: "shared", one mask for the batch; or "independent", one for each image of a mix
            (Eq. 1-2, M1 != M2): a unit is encoded if visible in any, and holds those visible there.
        decomposition: "subtract" (Eq. 5-6 as printed), see `SubtractSources`; or "split" (section
            4.1.1: the head predicts every source), see `SplitSources`.
        assignment: for "split": "permutation_invariant" or "fixed".
        norm_pixels: normalise targets per unit, by one affine map for all images of a mix.
        decoder_dim: width of the decoder.
        decoder_depth: its transformer blocks.
        decoder_num_heads: attention heads of each of them.
        loss: "mse" (Eq. 7) or "l1" (the paper's ablation setup), over hidden pixels.
        loss_weights: weights of the mixed loss and of each source's; None is all ones.
        mask_bank_size: number of masks drawn ahead, see `MaskBank`.
        unmixed_share: share of the samples, in [0, 1], that hold one image alone while training.
        num_views: masked views of each mix in a step, hidden sets disjoint (DMJD).
        block_size: units are hidden in squares of this side.
        seed: int; None draws one.

    Examples:
        >>> import keras, numpy as np
        >>> from eesmm_keras import EESMM, SwinBackbone
        >>> model = EESMM(SwinBackbone.from_preset("swin_mini_32"))
        >>> model.compile(keras.optimizers.AdamW(1e-3))
        >>> model.fit(np.random.randint(0, 256, (64, 32, 32, 3), "uint8"))
    """

    encodes_visible = True

    def __init__(
        self, backbone, mask_ratio=0.75, num_mixed=2, mix_weights=None, mixing="mean",
        mask_sharing="shared", decomposition="subtract", assignment="permutation_invariant",
        norm_pixels=True, decoder_dim=512, decoder_depth=1, decoder_num_heads=16, loss="mse",
        loss_weights=None, mask_bank_size=256, unmixed_share=0.0, num_views=1, block_size=1, seed=None,
        **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, loss_names=("loss_mixed", "loss_sources"), seed=seed, **kwargs)
        self.num_mixed = check_whole("num_mixed", num_mixed, 2, MAX_MIXED)
        self.mix_weights = check_mix_weights(mix_weights, num_mixed)
        self.mixing = check_choice("mixing", mixing, ("mean", "views"))
        self.mask_sharing = check_choice("mask_sharing", mask_sharing, ("shared", "independent"))
        self.decomposition = check_choice("decomposition", decomposition, ("subtract", "split"))
        self.assignment = check_choice("assignment", assignment, ("permutation_invariant", "fixed"))
        self.loss_kind = check_choice("loss", loss, ("mse", "l1"))
        self.loss_weights = check_loss_weights(loss_weights, num_mixed)
        self.norm_pixels = check_flag("norm_pixels", norm_pixels)
        self.unmixed_share = check_number("unmixed_share", unmixed_share, 0, 1)
        self.mask_ratio, self.num_views, self.block_size = mask_ratio, num_views, block_size
        self.decoder_dim, self.decoder_depth = decoder_dim, decoder_depth
        self.decoder_num_heads, self.mask_bank_size = decoder_num_heads, mask_bank_size
        self.view_seeds = self.seed_generator(1)
        self.mixer = ImageMixer(self.mix_weights, mixing, unmixed_share, self.view_seeds)
        self.masking = MaskBank.of(
            backbone, mask_ratio, size=mask_bank_size, seed=self.seed, num_views=num_views,
            num_masks=1 if mask_sharing == "shared" else num_mixed, block_size=block_size,
        )  # fmt: skip
        kind = {"weights": self.mix_weights, "norm_pixels": norm_pixels, "loss": loss}
        self.decomposer = SubtractSources(**kind)
        if decomposition == "split":
            self.decomposer = SplitSources(**kind, assignment=assignment)
        self.decoder = TransformerDecoder.of(
            backbone, decoder_dim, decoder_depth, decoder_num_heads,
            output_dim=self.decomposer.output_dim(backbone.unit_pixels),
        )  # fmt: skip
        self.built = True

    @classmethod
    def batch_rule(cls, arguments):
        count = check_whole("num_mixed", arguments.get("num_mixed", 2), 2, MAX_MIXED)
        return BatchRule(count, count, arguments.get("num_views", 1))

    def view(self, images, mask, training):
        """One masked view of the M = ceil(B / num_mixed) mixes: mix -> encode (visible) -> decode."""
        sources = self.mixer.sources(images, training=training)
        # Normalisation is linear: that of the mix is the mix of the normalised sources.
        mixed = self.backbone.units_of(self.mixer.mix(sources))
        encoded = take_units(mixed, mask.visible)
        if self.mask_sharing == "independent":
            shown = take_units(self.backbone.units_of(sources), mask.visible)
            shown = shown * (1 - ops.take(mask.hidden, mask.visible, axis=1))[None, :, :, None]
            encoded = self.mixer.mix(shown)
        latent = self.backbone.encode_visible(encoded, plan=mask.plan, training=training)
        prediction = self.decoder(
            latent, visible=mask.visible, scored=mask.scored, training=training
        )
        return {
            "prediction": prediction, "sources": sources, "mixed": mixed, "encoded": encoded,
            "weight": self.mixer.whole_mixes(images, mixed), "mask": mask,
        }  # fmt: skip

"""Methods against implementations that others wrote, with copied weights and masks."""

import numpy as np
import pytest
from test_swin import copy_weights

from conftest import random_images, to_numpy
from eesmm_keras import DMJD, MAE, GreenMIM, MixMIM, SimMIM, SwinBackbone, ViTBackbone
from eesmm_keras.ops.patches import images_to_units


def normalised(images, backbone):
    pixels = (images.astype("float32") / 255 - np.array(backbone.mean)) / np.array(backbone.std)
    return pixels.astype("float32")


def shaken(module, torch):
    """Weights far from their initial values, so that biases and tokens matter."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "position" not in name and "pos_embed" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def test_simmim_equals_transformers():
    torch = pytest.importorskip("torch")
    from transformers import SwinConfig, SwinForMaskedImageModeling

    torch.manual_seed(0)
    shape = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4)}
    config = SwinConfig(image_size=32, patch_size=2, window_size=4, encoder_stride=4, **shape)
    peer = shaken(SwinForMaskedImageModeling(config), torch)
    backbone = SwinBackbone(image_shape=(32, 32, 3), patch_size=2, window_size=4, **shape)
    model = SimMIM(backbone, seed=0)
    copy_weights(peer.swin, backbone)
    model.mask_token.assign(peer.swin.embeddings.mask_token.detach().numpy().reshape(-1))
    # A 1x1 convolution to (channel, row, column) of a unit; ours is (row, column, channel).
    kernel = peer.decoder[0].weight.detach().numpy()[:, :, 0, 0]
    order = np.arange(48).reshape(3, 4, 4).transpose(1, 2, 0).reshape(-1)
    model.head.kernel.assign(kernel[order].T)
    model.head.bias.assign(peer.decoder[0].bias.detach().numpy()[order])

    images, rng = random_images(3), np.random.default_rng(0)
    hidden = (np.argsort(rng.random((3, 64)), axis=1) < model.masking.num_hidden).astype("float32")
    mask = hidden.reshape(3, 8, 8).repeat(2, axis=1).repeat(2, axis=2).reshape(3, -1)
    pixels = normalised(images, backbone).transpose(0, 3, 1, 2).copy()
    with torch.no_grad():
        theirs = peer(torch.from_numpy(pixels), bool_masked_pos=torch.from_numpy(mask).bool())
    outputs = model(images, hidden=hidden)
    loss, _ = model.loss_terms(outputs)
    assert float(loss) == pytest.approx(theirs.loss.item(), rel=1e-4)
    expected = to_numpy(
        images_to_units(theirs.reconstruction.numpy().transpose(0, 2, 3, 1).copy(), 4)
    )
    places = to_numpy(outputs["mask"].scored)
    expected = np.take_along_axis(expected, places[:, :, None], axis=1)
    np.testing.assert_allclose(to_numpy(outputs["prediction"]), expected, rtol=1e-3, atol=1e-3)


def copy_transformer(weights, block, at):
    """A ViTMAE layer into a `TransformerBlock`."""

    def linear(layer, *names):
        layer.kernel.assign(np.concatenate([weights[f"{at}.{n}.weight"] for n in names]).T)
        layer.bias.assign(np.concatenate([weights[f"{at}.{n}.bias"] for n in names]))

    linear(block.qkv, *(f"attention.{part}_proj" for part in "qkv"))
    linear(block.projection, "attention.o_proj")
    linear(block.mlp.expand, "mlp.fc1")
    linear(block.mlp.contract, "mlp.fc2")
    for mine, theirs in ((block.norm1, "layernorm_before"), (block.norm2, "layernorm_after")):
        mine.gamma.assign(weights[f"{at}.{theirs}.weight"])
        mine.beta.assign(weights[f"{at}.{theirs}.bias"])


def copy_mae(weights, model):
    """A ViTMAE into an `MAE` on a `ViTBackbone`; positions are left out."""
    backbone = model.backbone

    def linear(layer, name):
        layer.kernel.assign(weights[f"{name}.weight"].T)
        layer.bias.assign(weights[f"{name}.bias"])

    def norm(layer, name):
        layer.gamma.assign(weights[f"{name}.weight"])
        layer.beta.assign(weights[f"{name}.bias"])

    kernel = weights["vit.embeddings.patch_embeddings.projection.weight"]
    projection = backbone.patch_embedding.projection
    projection.kernel.assign(kernel.transpose(2, 3, 1, 0).reshape(-1, 32))
    projection.bias.assign(weights["vit.embeddings.patch_embeddings.projection.bias"])
    backbone.token.token.assign(weights["vit.embeddings.cls_token"])
    norm(backbone.norm, "vit.layernorm")
    linear(model.decoder.embed, "decoder.decoder_embed")
    model.decoder.mask_token.assign(weights["decoder.mask_token"])
    norm(model.decoder.norm, "decoder.decoder_norm")
    linear(model.decoder.head, "decoder.decoder_pred")
    for number in range(2):
        copy_transformer(weights, backbone.blocks[number], f"vit.layers.{number}")
        copy_transformer(weights, model.decoder.blocks[number], f"decoder.decoder_layers.{number}")


def test_mae_equals_transformers():
    torch = pytest.importorskip("torch")
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    torch.manual_seed(0)
    config = ViTMAEConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        image_size=32, patch_size=4, decoder_hidden_size=16, decoder_num_hidden_layers=2,
        decoder_num_attention_heads=2, decoder_intermediate_size=64, norm_pix_loss=True,
        mask_ratio=0.75, layer_norm_eps=1e-6,
    )  # fmt: skip
    peer = shaken(ViTMAEForPreTraining(config), torch)
    weights = {name: value.detach().numpy() for name, value in peer.state_dict().items()}
    backbone = ViTBackbone((32, 32, 3), 4, dim=32, depth=2, num_heads=4)
    model = MAE(
        backbone, decoder_dim=16, decoder_depth=2, decoder_num_heads=2, mask_bank_size=2, seed=0
    )

    copy_mae(weights, model)
    with torch.no_grad():
        peer.vit.embeddings.position_embeddings[0, 1:] = torch.from_numpy(
            backbone.absolute_positions.table
        )
        peer.decoder.decoder_pos_embed[0, 1:] = torch.from_numpy(model.decoder.positions)

    images, noise = random_images(3), np.random.default_rng(0).random((3, 64))
    hidden = (np.argsort(np.argsort(noise, axis=1), axis=1) >= 16).astype("float32")
    pixels = normalised(images, backbone).transpose(0, 3, 1, 2).copy()
    with torch.no_grad():
        theirs = peer(torch.from_numpy(pixels), noise=torch.from_numpy(noise))
    np.testing.assert_array_equal(theirs.mask.numpy(), hidden)
    outputs = model(images, hidden=hidden)
    loss, _ = model.loss_terms(outputs)
    assert float(loss) == pytest.approx(theirs.loss.item(), rel=1e-3)
    expected = np.take_along_axis(
        theirs.logits.numpy(), to_numpy(outputs["mask"].scored)[:, :, None], axis=1
    )
    np.testing.assert_allclose(to_numpy(outputs["prediction"]), expected, rtol=1e-3, atol=1e-3)


def whitened(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, ddof=1, keepdims=True) + 1e-6)


def mini_swin(**kwargs):
    options = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4}
    return SwinBackbone(**{"image_shape": (32, 32, 3), "patch_size": 2, **options, **kwargs})


DECODER = {"decoder_dim": 32, "decoder_depth": 1, "decoder_num_heads": 4, "seed": 0}


def test_greenmim_loss_closed_form():
    model = GreenMIM(mini_swin(), mask_bank_size=4, **DECODER)
    images, hidden = random_images(3), model.sample_hidden(0)
    outputs = model(images, hidden=hidden)
    units = to_numpy(images_to_units(normalised(images, model.backbone), 4))
    target = whitened(units)[:, hidden[0] == 1]
    expected = np.mean((to_numpy(outputs["prediction"]) - target) ** 2)
    assert float(model.loss_terms(outputs)[0]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("partner", ["next", "reversed", "pair"])
def test_mixmim_is_the_masked_network_on_mixed_tokens(partner):
    """Against a few lines of NumPy around the dense encoder: partners, sides and both losses."""
    windows = {"window_size": (8, 4), "shift": False, "positions": "sincos"}
    model = MixMIM(mini_swin(**windows), partner=partner, **DECODER)
    images, hidden = random_images(4), model.sample_hidden(1)
    outputs = model(images, hidden=hidden)
    partners = {"next": [1, 2, 3, 0], "reversed": [3, 2, 1, 0], "pair": [1, 0, 3, 2]}[partner]
    units = to_numpy(images_to_units(normalised(images, model.backbone), 4))
    target, replaced = whitened(units), hidden[0] == 1
    own = (to_numpy(outputs["prediction"]) - target[:, replaced]) ** 2
    other = (to_numpy(outputs["partner_prediction"]) - target[partners][:, ~replaced]) ** 2
    expected = np.concatenate([own, other], axis=1).mean()
    assert float(model.loss_terms(outputs)[0]) == pytest.approx(expected, rel=1e-4)

    # What image 0 predicts depends on its own kept pixels, not on what its partner shows there,
    # nor on its own replaced pixels (but for the partner's, whom it hides).
    where = np.kron(hidden.reshape(8, 8), np.ones((4, 4))).astype(bool)
    changed = images.copy()
    changed[partners[0]] = 255 - changed[partners[0]]
    changed[0, where] = 255 - changed[0, where]
    again = to_numpy(model(changed, hidden=hidden)["prediction"])
    np.testing.assert_allclose(again[0], to_numpy(outputs["prediction"])[0], atol=1e-5)
    changed = images.copy()
    changed[0, ~where] = 255 - changed[0, ~where]
    again = to_numpy(model(changed, hidden=hidden)["prediction"])
    assert np.abs(again[0] - to_numpy(outputs["prediction"])[0]).max() > 1e-3


@pytest.mark.parametrize("whitening", ["cell", "unit"])
def test_dmjd_loss_closed_form(whitening):
    from eesmm_keras.ops.hog import units_hog

    model = DMJD(
        mini_swin(), theta=0.5, num_views=1, projector_dim=16, mask_bank_size=4,
        whitening=whitening, **DECODER,
    )  # fmt: skip
    images, hidden = random_images(3), model.sample_hidden(0)
    outputs = model(images, hidden=hidden)
    features = to_numpy(units_hog(images.astype("float32"), 4, 4))
    target, hidden = whitened(features), hidden[0] == 1
    if whitening == "cell":
        # PyTorch's layer normalisation of the 9 orientations.
        cells = features.reshape(*features.shape[:2], -1, 9)
        spread = np.sqrt(cells.var(axis=-1, keepdims=True) + 1e-5)
        target = ((cells - cells.mean(axis=-1, keepdims=True)) / spread).reshape(features.shape)
    of_hidden = np.mean((to_numpy(outputs["prediction"]) - target[:, hidden]) ** 2)
    residual = np.abs(to_numpy(outputs["visible_prediction"]) - target[:, ~hidden])
    of_visible = np.where(residual < 2, residual**2 / 4, residual - 1).mean()
    total, terms = model.loss_terms(outputs)
    assert float(terms["loss_hidden"]) == pytest.approx(of_hidden, rel=1e-4)
    assert float(terms["loss_visible"]) == pytest.approx(of_visible, rel=1e-4)
    assert float(total) == pytest.approx(of_hidden + 0.5 * of_visible, rel=1e-4)


def test_dmjd_scales_its_learning_rate_by_prediction_over_corruption():
    assert DMJD(mini_swin(), mask_bank_size=2, **DECODER).learning_rate_scale == pytest.approx(
        1 / 0.6
    )
    model = DMJD(mini_swin(), mask_ratio=0.25, mask_bank_size=2, **DECODER)
    assert model.learning_rate_scale == pytest.approx(2.0)

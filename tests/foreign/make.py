"""Makes the files beside it: random weights of networks of others, and what these made of images.

Usage: `python make.py CODE`, where the folder CODE holds checkouts of the public repositories
Swin-Transformer, SimMIM, GreenMIM, MixMIM, mae and DMJD, with timm 1.0.31, keras-hub 0.32, torch and
safetensors installed. Nothing of it is needed to run the tests, and none of that code is kept here.
"""

import importlib
import sys
import types
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SWIN = {"img_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 8, "depths": [2, 1],
        "num_heads": [1, 2]}  # fmt: skip
VIT = {"img_size": 24, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}


def shaken(model):
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "pos_embed" not in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def images_of(side):
    images = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), "uint8")
    values = ((images / 255 - MEAN) / STD).astype("float32")
    return images, torch.from_numpy(values.transpose(0, 3, 1, 2).copy())


def keep(name, model, images, prefix="", **outputs):
    state = {prefix + key: value.contiguous().clone() for key, value in model.state_dict().items()}
    save_file(state, HERE / f"{name}.safetensors")
    values = {key: np.asarray(torch.as_tensor(value)) for key, value in outputs.items()}
    np.savez_compressed(HERE / f"{name}.npz", images=images, **values)
    print(name, {key: value.shape for key, value in values.items()})


def of_timm():
    import timm

    torch.manual_seed(0)

    images, pixels = images_of(32)
    model = shaken(timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, **SWIN))
    with torch.no_grad():
        keep(
            "swin_timm",
            model,
            images,
            features=model.forward_features(pixels),
            logits=model(pixels),
        )
    images, pixels = images_of(24)
    for name, arch in (
        ("vit_timm", "vit_tiny_patch16_224"),
        ("deit3_timm", "deit3_small_patch16_224"),
    ):
        model = timm.create_model(arch, num_classes=5, **VIT)
        with torch.no_grad():
            model.pos_embed.add_(0.2 * torch.randn_like(model.pos_embed))
            shaken(model)
            keep(name, model, images, features=model.forward_features(pixels)[:, 1:])


def old_timm(code):
    """timm's names as the public code of these years imports them."""
    import timm.layers
    import timm.models.vision_transformer as vit

    np.float = float
    sys.modules["timm.models.layers"] = timm.layers
    block = vit.Block
    vit.Block = lambda *args, qk_scale=None, **kwargs: block(*args, **kwargs)
    vit.DropPath = timm.layers.DropPath
    registry = types.ModuleType("timm.models.registry")
    registry.register_model = lambda function: function
    sys.modules["timm.models.registry"] = registry
    sys.path.insert(0, str(code / "Swin-Transformer"))
    swin = importlib.import_module("models.swin_transformer")
    sys.modules["timm.models.swin_transformer"] = swin
    return swin


def module(code, folder, name, stub=None):
    for old in [key for key in sys.modules if key.split(".")[0] in ("models", "modeling", "util")]:
        del sys.modules[old]
    if stub:
        # Of what needs a CUDA library.
        sys.modules[stub] = types.SimpleNamespace(ALTGVT=None)
    sys.path.insert(0, str(code / folder))
    found = importlib.import_module(name)
    sys.path.pop(0)
    return found


def of_greenmim(code, pixels, images):
    green = module(code, "GreenMIM", "modeling.base_green_models",
                   stub="modeling.green_twins_models")  # fmt: skip
    green_swin = sys.modules["modeling.green_swin_models"]
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    encoder = green_swin.SwinTransformer(norm_layer=norm, **SWIN)
    model = shaken(green.MaskedAutoencoder(
        encoder, embed_dim=16, patch_size=4, decoder_num_patches=64, decoder_embed_dim=16,
        decoder_depth=1, decoder_num_heads=2, norm_layer=norm))  # fmt: skip
    hidden = (np.random.default_rng(1).permutation(64) < 48).astype("float32")[None]
    with torch.no_grad():
        latent = model.encoder(pixels, torch.from_numpy(hidden).bool().repeat(2, 1))
        keep("greenmim_official", model, images, hidden=hidden, latent=latent)


def of_official_code(code):
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    swin = old_timm(code)
    images, pixels = images_of(32)
    model = shaken(swin.SwinTransformer(num_classes=5, **SWIN))
    with torch.no_grad():
        pooled = model.forward_features(pixels)
        keep("swin_official", model, images, pooled=pooled, logits=model(pixels))

    simmim = module(code, "SimMIM", "models.simmim")
    encoder = simmim.SwinTransformerForSimMIM(num_classes=0, **SWIN)
    encoder.in_chans, encoder.patch_size = 3, 2
    model = shaken(simmim.SimMIM(encoder, encoder_stride=4))
    hidden = (np.random.default_rng(0).random((2, 8, 8)) < 0.5).astype("float32")
    # As many hidden in both, which our model wants.
    hidden[1] = hidden[0].T
    mask = torch.from_numpy(hidden.repeat(2, 1).repeat(2, 2))
    with torch.no_grad():
        keep("simmim_official", model, images, hidden=hidden, loss=model(pixels, mask))

    of_greenmim(code, pixels, images)
    mixmim = module(code, "MixMIM", "models_mixmim").MixMIM
    sizes = {**SWIN, "window_size": [4, 4, 4, 2], "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
    model = mixmim(decoder_dim=8, decoder_depth=1, decoder_num_heads=2, **sizes)
    model.encoder_stride = 16
    mixmim_16(model)
    shaken(model)
    hidden = np.array([[0, 1, 1, 0]], "float32")
    masks = [torch.from_numpy(hidden.reshape(1, 2, 2).repeat(k, 1).repeat(k, 2).reshape(1, -1, 1))
             for k in (8, 4, 2, 1)]  # fmt: skip
    with torch.no_grad():
        latent = model.forward_encoder(pixels, *masks)
        rebuilt = model.forward_decoder(latent, masks[-1])
        loss = model.forward_loss(pixels, rebuilt, masks[-1])
        keep("mixmim_official", model, images, hidden=hidden, latent=latent, loss=loss)

    images, pixels = images_of(24)
    mae = module(code, "mae", "models_mae").MaskedAutoencoderViT
    model = shaken(mae(decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2, norm_pix_loss=True,
                       norm_layer=norm, **VIT))  # fmt: skip
    torch.manual_seed(1)
    with torch.no_grad():
        loss, _, mask = model(pixels, mask_ratio=0.5)
    keep("mae_official", model, images, hidden=mask, loss=loss)


def of_dmjd(code):
    """DMJD's code has masks for images of 224 pixels; these are not kept but drawn again."""
    for name in ("helpers", "resnet", "registry"):
        stub = sys.modules[f"timm.models.{name}"] = types.ModuleType(f"timm.models.{name}")
        stub.load_pretrained = stub.resnet26d = stub.resnet50d = None
        stub.register_model = lambda function: function
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    sizes = {"img_size": [224, 56, 28], "patch_size": [4, 2, 2], "embed_dim": [8, 12, 16],
             "depth": [1, 1, 1], "num_heads": 2, "norm_layer": norm}  # fmt: skip
    _, pixels = images_of(224)
    model = module(code, "DMJD", "models_dmjd").DMJDConViT(
        mlp_ratio=[4, 4, 2], decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2,
        decoder_pred_dim=4 * 27, **sizes)  # fmt: skip
    shaken(model)
    with torch.no_grad():
        latent, _, restore = model.forward_encoder(pixels[:1], 0.9, "block")
        predicted, visible = model.forward_decoder(latent, restore)
        order, count = restore.argsort(1), latent.shape[1]
        scored = order[:, count : count + 8]
        hidden = torch.take_along_dim(predicted, scored[:, :, None], 1)
        keep("dmjd_official", model, (), order=order, count=count, latent=latent, visible=visible,
             hidden=hidden)  # fmt: skip


def mixmim_16(model):
    """The last layers of a MixMIM for units of 16 pixels, where its code fixes 32."""
    places = (model.img_size // 16) ** 2
    model.out_num_patches = places
    model.decoder_pos_embed = torch.nn.Parameter(
        torch.zeros(1, places, model.decoder_dim), requires_grad=False
    )
    model.decoder_pred = torch.nn.Linear(model.decoder_dim, 16**2 * 3)
    model.initialize_weights()


def of_keras_hub():
    import keras
    import keras_hub

    keras.utils.set_random_seed(0)
    swin = {**{k: SWIN[k] for k in ("patch_size", "window_size", "embed_dim", "depths", "num_heads")},
            "image_shape": (32, 32, 3)}  # fmt: skip
    vit = {"image_shape": (24, 16, 3), "patch_size": (8, 8), "num_layers": 2, "num_heads": 2,
           "hidden_dim": 16, "mlp_dim": 48}  # fmt: skip
    for name, model in (("swin", keras_hub.models.SwinTransformerBackbone(**swin)),
                        ("vit", keras_hub.models.ViTBackbone(**vit))):  # fmt: skip
        for variable in model.weights:
            noise = np.random.default_rng(0).normal(size=variable.shape)
            variable.assign_add(0.2 * noise.astype("float32"))
        model.save_to_preset(str(HERE / f"keras_hub_{name}"))
        (HERE / f"keras_hub_{name}" / "metadata.json").unlink()
        shape = model.image_shape
        images = np.random.default_rng(0).integers(0, 256, (2, *shape), "uint8")
        values = ((images / 255 - MEAN) / STD).astype("float32")
        np.savez_compressed(HERE / f"keras_hub_{name}.npz", images=images, features=model(values))


if __name__ == "__main__":
    with torch.inference_mode(False):
        of_timm()
        of_official_code(Path(sys.argv[1]))
        of_dmjd(Path(sys.argv[1]))
    of_keras_hub()

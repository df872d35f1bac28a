"""Makes the golden files beside it: python tests/golden/make.py FOLDER

They were made by commit c73bc23 and are kept: later code must load these files, give the same features
and go on with these runs. Run it again (with that commit installed) only to make them for another case.

NAME.keras          a finished, tiny run of a method
NAME-step.npz       a checkpoint in the middle of the same run, after STOPPED of STEPS steps
NAME-config.yaml    the run's config.yaml
NAME-features.npy   features that NAME.keras gives of the images in `images()`
losses.json         of 20 steps of every case of `LOSSES`; machine.json where all this was computed
"""

import json
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np

from eesmm_keras import load_model
from eesmm_keras.errors import Interrupted
from eesmm_keras.training import loop
from eesmm_keras.training.finetuning import finetune
from eesmm_keras.training.pretraining import pretrain
from eesmm_keras.training.settings import resolve

# 16 mask units of 4 pixels.
SWIN = (
    "swin_mini_32:image_shape=[16, 16, 3]:depths=[1, 2]:num_heads=[1, 2]:embed_dim=8:patch_size=2"
)
VIT = "vit_mini_32:image_shape=[16, 16, 3]:patch_size=4:dim=16:depth=2:num_heads=2"
EPOCHS, STEPS_PER_EPOCH, STOPPED = 2, 5, 7
_BANK = {"mask_bank_size": 6}
_DECODER = {"decoder_dim": 16, "decoder_num_heads": 2, "decoder_depth": 1}
RUNS = {
    "eesmm": {"backbone": SWIN, **_DECODER, **_BANK},
    "simmim": {"backbone": SWIN},
    "greenmim": {"backbone": SWIN, **_DECODER, **_BANK},
    "mae": {"backbone": VIT, **_DECODER, **_BANK},
    "mixmim": {"backbone": SWIN, **_DECODER},
    "dmjd": {"backbone": SWIN, "projector_dim": 16, **_DECODER, **_BANK},
    "finetune": {
        "backbone": SWIN, "ema_momentum": 0.9, "drop_path": 0.2, "mixup_alpha": 0.8,
        "rand_augment_magnitude": 0.5, "weights": "none", "label_share": 0.5, "val_limit": 20,
    },
}  # fmt: skip
# Every argument that leads another way through a method; the loss of each of 20 steps is kept.
LOSSES = {
    "eesmm": RUNS["eesmm"],
    "eesmm_split": {**RUNS["eesmm"], "decomposition": "split", "num_mixed": 3, "batch_size": 9},
    "eesmm_fixed": {**RUNS["eesmm"], "decomposition": "split", "assignment": "fixed", "loss": "l1"},
    "eesmm_independent": {**RUNS["eesmm"], "mask_sharing": "independent"},
    "eesmm_views": {**RUNS["eesmm"], "mixing": "views", "num_views": 2, "mask_ratio": 0.5},
    "eesmm_unmixed": {**RUNS["eesmm"], "unmixed_share": 0.5, "norm_pixels": False},
    "simmim": RUNS["simmim"],
    "simmim_vit": {"backbone": VIT, "block_size": 2, "norm_pixels": True, "loss": "mse"},
    "greenmim": RUNS["greenmim"],
    "greenmim_views": {**RUNS["greenmim"], "num_views": 2, "block_size": 2, "mask_ratio": 0.5},
    "mae": RUNS["mae"],
    "mae_views": {**RUNS["mae"], "num_views": 2, "mask_ratio": 0.5},
    "mae_swin": {**RUNS["mae"], "backbone": SWIN},
    "mixmim": RUNS["mixmim"],
    "mixmim_pair": {**RUNS["mixmim"], "partner": "pair", "backbone": SWIN + ":positions=sincos"},
    "dmjd": RUNS["dmjd"],
    "dmjd_pixels": {**RUNS["dmjd"], "target": "pixels", "backbone": VIT, "theta": 0},
    "dmjd_unit": {**RUNS["dmjd"], "whitening": "unit", "prediction_ratio": 0.9},
}
_COMMON = {
    "data": "digits", "epochs": EPOCHS, "steps_per_epoch": STEPS_PER_EPOCH, "batch_size": 8,
    "learning_rate": 0.05, "seed": 3, "checkpoint_every": "1000 minutes",
}  # fmt: skip


def images():
    """The images whose features are kept: uint8 `(4, 16, 16, 3)`."""
    return np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), "uint8")


def settings(name, out, **changes):
    """Settings of a golden run."""
    kind = "finetune" if name == "finetune" else "pretrain"
    method = {} if name == "finetune" else {"method": name.partition("_")[0]}
    options = {**_COMMON, **method, **RUNS.get(name, {}), **changes, "out": str(out)}
    return kind, resolve(kind, options=options)


def train(name, out, **changes):
    """A golden run from where it is to its end; `Run`."""
    kind, wanted = settings(name, out, **changes)
    if kind == "finetune":
        return finetune(wanted, say=lambda line: None)[0]
    return pretrain(wanted, say=lambda line: None)


class _Stop(loop.StopSignals):
    looks = 0

    @property
    def received(self):
        _Stop.looks += 1
        return "SIGTERM" if _Stop.looks >= STOPPED else ""

    @received.setter
    def received(self, value):
        pass


def interrupted(name, out):
    """Run the first `STOPPED` steps."""
    usual, loop.StopSignals, _Stop.looks = loop.StopSignals, _Stop, 0
    try:
        train(name, out)
    except Interrupted:
        return
    finally:
        loop.StopSignals = usual
    raise AssertionError("It was not interrupted.")


def features(model):
    """Pooled features of `images()`."""
    return keras.ops.convert_to_numpy(model.backbone.feature_extractor()(images())["pooled"])


def losses(case, out):
    """Loss of each of 20 steps: the mean of one-step epochs."""
    run = train(case.partition("_")[0], out, **{**LOSSES[case], "epochs": 20, "steps_per_epoch": 1})
    lines = [line.split(",") for line in run.metrics_path.read_text().splitlines()]
    return [float(line[lines[0].index("loss")]) for line in lines[1:]]


def machine():
    """What the last bits of a result may depend on."""
    import tensorflow as tf

    flags = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if "flags" in line), ""
    )
    return {
        "vector_instructions": sorted(x for x in flags.split() if x.startswith(("avx", "amx"))),
        "tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__,
    }  # fmt: skip


def compress(path):
    """Pack the members of a ZIP file more tightly; their contents stay as they are."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def main(folder):
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in RUNS:
            out = Path(scratch, name)
            interrupted(name, out)
            shutil.copy(next((out / "checkpoints").glob(f"step_*{STOPPED}.npz")),
                        folder / f"{name}-step.npz")  # fmt: skip
            shutil.copy(out / "config.yaml", folder / f"{name}-config.yaml")
            run = train(name, out)
            shutil.copy(run.model_path, folder / f"{name}.keras")
            np.save(folder / f"{name}-features.npy", features(load_model(run.model_path)))
            for kept in (folder / f"{name}-step.npz", folder / f"{name}.keras"):
                compress(kept)
            print(name, flush=True)
        kept = {case: losses(case, Path(scratch, f"losses_{case}")) for case in LOSSES}
    (folder / "losses.json").write_text(json.dumps(kept, indent=1))
    (folder / "machine.json").write_text(json.dumps(machine(), indent=1))


if __name__ == "__main__":
    main(sys.argv[1])

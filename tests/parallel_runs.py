"""Small trainings on several devices or hosts, run by test_distribution.py in child processes.

python parallel_runs.py replicas [N] [CASES...]       each on N devices (2) and on 1, as lines of JSON
python parallel_runs.py host ADDRESSES INDEX FOLDER TASKS...   a host of several, see hosts.py
python parallel_runs.py alone FOLDER TASKS...                  the same in one process
"""

import functools
import json
import sys
from types import SimpleNamespace
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from conftest import random_images, tiny_backbone, tiny_eesmm
from eesmm_keras import ImageClassifier, LayerDecayAdamW, ViTBackbone
from eesmm_keras.methods import contrastive, dmjd, greenmim, mae, mixmim, simmim
from eesmm_keras.ops.box_marks import NO_BOX
from eesmm_keras.ops.mixing import partners
from eesmm_keras.tasks.box_losses import BoxLoss
from eesmm_keras.tasks.detection import Detector
from eesmm_keras.tasks.pixel_losses import PixelCrossentropy
from eesmm_keras.tasks.segmentation import Segmenter
from eesmm_keras.training import finetuning, pretraining
from eesmm_keras.training.devices import use_devices
from eesmm_keras.training.runs import Run
from eesmm_keras.training.settings import resolve

SMALL = {"decoder_dim": 16, "decoder_num_heads": 2, "decoder_depth": 1, "seed": 1}
ALONE = dict.fromkeys(("devices", "gpus", "coordinator", "num_hosts", "host_index", "out"))


def backbone(**kwargs):
    small = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
    return tiny_backbone(patch_size=4, **small, **kwargs)


def vit():
    return ViTBackbone((32, 32, 3), patch_size=8, dim=16, depth=1, num_heads=2)


def classifier():
    return ImageClassifier(backbone(drop_path=0.5, dropout=0.3), 4)


CASES = {
    "eesmm": lambda: tiny_eesmm(backbone(), mixing="views"),
    "simmim": lambda: simmim.SimMIM(backbone(), seed=1),
    "greenmim": lambda: greenmim.GreenMIM(backbone(), mask_bank_size=4, **SMALL),
    "mae": lambda: mae.MAE(vit(), mask_bank_size=4, **SMALL),
    "mixmim": lambda: mixmim.MixMIM(backbone(), partner="pair", **SMALL),
    "dmjd": lambda: dmjd.DMJD(
        backbone(), target="pixels", num_views=1, projector_dim=16, mask_bank_size=4, **SMALL
    ),
    "contrastive": lambda: contrastive.ContrastiveMIM(
        backbone(), projector_dim=16, mask_bank_size=4, **SMALL
    ),
    "classifier": classifier,
    "segmenter": lambda: Segmenter(backbone(drop_path=0.5), "abc", head_dim=8),
    "detector": lambda: Detector(backbone(drop_path=0.5), "ab", head_dim=8),
    "accumulate": lambda: tiny_eesmm(backbone()),
    "average": lambda: tiny_eesmm(backbone()),
    "bfloat16": lambda: tiny_eesmm(backbone()),
    # The gradients of one device's part are not finite in the second step.
    "float16": classifier,
    "clip": classifier,
    "compiled": lambda: tiny_eesmm(backbone()),
}
POLICIES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
# Of the optimizer, as the settings `accumulate` and `ema_momentum` have it.
OPTIONS = {
    "accumulate": {"gradient_accumulation_steps": 2},
    "average": {"use_ema": True, "ema_momentum": 0.9},
    "clip": {"global_clipnorm": 0.1},
}
_SMALL = ["decoder_dim=16", "decoder_num_heads=2", "decoder_depth=1", "mask_bank_size=4"]
# As `--set` has it.
OF_METHODS = {
    "eesmm": [*_SMALL, "mixing=views"],
    "greenmim": _SMALL,
    "mae": _SMALL,
    "mixmim": [*_SMALL[:3], "partner=pair"],
    "dmjd": [*_SMALL, "target=pixels", "num_views=1", "projector_dim=16"],
    "contrastive": [*_SMALL, "projector_dim=16"],
}
LOSSES = {
    **dict.fromkeys(
        ("classifier", "float16", "clip"),
        lambda: keras.losses.CategoricalCrossentropy(from_logits=True),
    ),
    "segmenter": PixelCrossentropy,
    "detector": BoxLoss,
}


def optimizer(**options):
    """AdamW whose epsilon is large beside rounding errors, which it would blow up to full steps."""
    return LayerDecayAdamW(1e-3, epsilon=1e-3, **options)


def train(case, devices, batch=8):
    """Loss of every step, and the final weights."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(POLICIES.get(case, "float32"))
    with devices.scope():
        model = CASES[case]()
        own = optimizer(**OPTIONS.get(case, {}))
        jit = True if case == "compiled" and devices.replicas > 1 else "auto"
        model.compile(own, *([LOSSES[case]()] if case in LOSSES else []), jit_compile=jit)
        model.optimizer.build(model.trainable_variables)
    count = 2 * batch
    images, labels = random_images(count), np.eye(4, dtype="float32")[np.arange(count) % 4]
    if case == "segmenter":  # class 3 is none: pixels that are ignored, more in some images
        labels = np.minimum(images[..., 0] // (1 + np.arange(count)[:, None, None] % 16 * 6), 3)
    if case == "detector":  # one box in some images, two or none in others
        rows = np.tile(np.array([[0, 2, 3, 20, 30], [1, 8, 8, 16, 14]], "float32"), (count, 1, 1))
        rows[::3, 1, 0] = rows[5::5, :, 0] = NO_BOX
        labels = np.asarray(model.targets(tf.constant(rows)))
    parts = (images, labels)
    if case == "float16":
        parts = (*parts, np.where(np.arange(count) == count - 1, 1e30, 1).astype("float32"))
    data = tf.data.Dataset.from_tensor_slices(parts).batch(batch, drop_remainder=True)
    losses = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(float(logs["loss"]))
    )
    model.fit(data, epochs=2, verbose=0, shuffle=False, callbacks=[note])
    return losses, weights(model)


def weights(model):
    return [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]


def replicas(cases, number=2):
    """For every case: losses on several devices and on one, and how far their weights are apart."""
    runs, batch = {}, max(8, 2 * number)
    for devices in (f"cpu:{number}", None):
        with use_devices(SimpleNamespace(**{**ALONE, "devices": devices})) as used:
            for case in cases:
                runs[case, devices] = train(case, used, batch)
            if devices and keras.backend.backend() == "jax":
                _check_partners(number)
    for case in cases:
        (several, weights_several), (one, weights_one) = (
            runs[case, devices] for devices in (f"cpu:{number}", None)
        )
        off = max(abs(a - b).max() for a, b in zip(weights_one, weights_several, strict=True))
        print(json.dumps({"case": case, "one": one, "several": several, "weights": float(off)}))


def _check_partners(number):
    """Within each device's part of the batch, the next one, and the first one of the last."""
    found = partners(keras.ops.arange(4 * number)[:, None], "next")[:, 0]
    expected = np.roll(np.arange(4 * number).reshape(number, 4), -1, axis=1)
    assert np.array(found).tolist() == expected.flatten().tolist()


def tiny_pretrain(folder, index="alone", method="simmim", **options):
    """`eesmm pretrain` with a tiny encoder and without pictures; its weights go to a file."""
    encoder = vit if method == "mae" else backbone
    with (
        mock.patch.object(pretraining, "build_backbone", side_effect=lambda *a, **k: encoder()),
        # On JAX their single operations would take most of the time.
        mock.patch.object(pretraining.Pictures, "_save"),
        _kept_weights(f"{folder}/weights_{index}.npz"),
    ):
        out = f"{folder}/run_alone" if index == "alone" else f"{folder}/run"
        settings = _settings("pretrain", OF_METHODS.get(method), out=out, method=method, **options)
        return pretraining.pretrain(settings)


def long_pretrain(method, *args, **options):
    """So many steps, each with its checkpoint, that it can be stopped in the middle."""
    longer = {"epochs": 2, "steps_per_epoch": 12, "checkpoint_every": "1", "method": method}
    return tiny_pretrain(*args, **longer, **options)


def half_pretrain(method, *args, **options):
    """In half precision, with a probe of the features after every epoch."""
    probed = {"probe_data": "digits", "precision": "mixed_float16", "method": method}
    return tiny_pretrain(*args, **probed, **options)


def tiny_finetune(folder, index="alone", **options):
    """`eesmm finetune` with a tiny encoder; its weights go to a file."""
    with (
        mock.patch.object(
            finetuning, "build_backbone", side_effect=lambda *a, **k: backbone(drop_path=0.2)
        ),
        _kept_weights(f"{folder}/weights_finetune_{index}.npz"),
    ):
        out = f"{folder}/finetune_alone" if index == "alone" else f"{folder}/finetune"
        return finetuning.finetune(_settings("finetune", out=out, weights="none", **options))


def _settings(kind, assignments=None, **options):
    shared = {
        "data": "digits", "seed": 3, "epsilon": 1e-3, "learning_rate": 0.1, "epochs": 2,
        "steps_per_epoch": 2, "batch_size": 16, "limit": 64,
    }  # fmt: skip
    return resolve(kind, None, assignments or (), {**shared, **options})


def _kept_weights(path):
    """Every host's weights go to a file, not only those of the host that writes the run."""
    original = Run.save_model

    def save_model(run, model):
        original(run, model)
        np.savez(path, *weights(model))

    return mock.patch.object(Run, "save_model", save_model)


TASKS = {"pretrain": tiny_pretrain, "finetune": tiny_finetune}
TASKS_OF_METHODS = {"long": long_pretrain, "half": half_pretrain}


def run_tasks(tasks, *args, **options):
    """Each a name of `TASKS`, or `NAME:METHOD` with one of `TASKS_OF_METHODS`."""
    for task in tasks:
        name, _, method = task.partition(":")
        known = functools.partial(TASKS_OF_METHODS[name], method) if method else TASKS[name]
        known(*args, **options)


if __name__ == "__main__":
    if sys.argv[1] == "replicas":
        if keras.backend.backend() == "tensorflow":
            CASES.pop("accumulate")  # refused: see its devices
        number, cases = 2, sys.argv[2:]
        if cases and cases[0].isdigit():
            number, cases = int(cases[0]), cases[1:]
        replicas(cases or list(CASES), number)
    elif sys.argv[1] == "alone":
        run_tasks(sys.argv[3:], sys.argv[2])
    else:
        addresses, index, folder, *tasks = sys.argv[2:]
        hosts = addresses.count(",") + 1
        if keras.backend.backend() == "jax":
            addresses = addresses.partition(",")[0]
        where = {"coordinator": addresses, "num_hosts": hosts, "host_index": int(index)}
        run_tasks(tasks, folder, index, **where)

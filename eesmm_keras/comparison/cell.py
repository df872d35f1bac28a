"""One cell of a comparison, alone in a process: pre-train, probe, fine-tune, write what came out."""

import json
import os
import resource
import shutil
import time
from pathlib import Path

from eesmm_keras import child_process
from eesmm_keras.comparison.counting import exposure, run_length
from eesmm_keras.errors import UserError

# Method of the row that shows what random weights give.
NOTHING = "none"
_TRIAL_STEPS = 40


def run_cell(spec):
    """Results of one method, budget and seed.

    Args:
        spec: dict: `settings`, all that decides the result, see `specs.settings_of`; `data`, what to
            open, and `where`, how, see `open_source`; `folder`, where the runs go; `result`, the file.

    Returns:
        dict: accuracies 0..1, and what the pre-training took.
    """
    from eesmm_keras.quiet import load_backend

    load_backend()
    import keras

    from eesmm_keras.comparison.measuring import measure
    from eesmm_keras.data.sources import limit_source, open_source
    from eesmm_keras.training.inputs import reading_of
    from eesmm_keras.training.pretraining import build_backbone
    from eesmm_keras.training.weights import load_backbone

    settings, folder, result, weights = spec["settings"], Path(spec["folder"]), {}, "none"
    folder.mkdir(parents=True, exist_ok=True)
    if settings["method"] == NOTHING:
        keras.utils.set_random_seed(settings["seed"])
        backbone = build_backbone(settings["backbone"], settings["image_size"])
    else:
        result.update(_pretrain(spec, folder))
        weights = str(folder / "pretrain")
        backbone = load_backbone(weights)
    where = {**spec["where"], "labelled": True, "reading": reading_of(backbone)}
    train, test = (open_source(spec["data"], split, **where) for split in ("train", "test"))
    # The same images for all seeds: the spread is that of training.
    train, test = (limit_source(source, settings["probe_limit"]) for source in (train, test))
    result.update(measure(backbone, train, test))
    for labels in settings["labels"]:
        result[f"finetune_{labels}"] = _finetune(spec, folder, weights, labels, test)
    return result


def _pretrain(spec, folder):
    from eesmm_keras.training.pretraining import pretrain
    from eesmm_keras.training.run_config import read_config
    from eesmm_keras.training.settings import resolve

    chosen = spec["settings"]
    options = {
        "data": spec["data"],
        **spec["where"],
        **{key: chosen[key] for key in ("method", "backbone", "image_size", "limit", "seed")},
        "batch_size": chosen["batch_size"],
        "pictures_every": 10**6,
        "checkpoint_every": "1000 minutes",
        **chosen["pretrain"],
        "method_args": chosen["arguments"],
    }
    options = {key: value for key, value in options.items() if value is not None}

    def settings_for(name, **changes):
        # What an interrupted cell left behind.
        shutil.rmtree(folder / name, ignore_errors=True)
        return resolve("pretrain", options={**options, "out": str(folder / name), **changes})

    def run(name, **changes):
        return pretrain(settings_for(name, **changes), say=lambda line: None)

    def speed():
        trial = run("trial", epochs=1, steps_per_epoch=_TRIAL_STEPS)
        rate = float(trial.last_metrics()["images_per_second"])
        shutil.rmtree(trial.path)
        return rate

    macs = _macs(settings_for("pretrain"))
    length = _length(spec, macs, speed)
    begin = time.monotonic()
    settings = settings_for("pretrain", **length)
    done = pretrain(settings, say=lambda line: None)
    metrics, config = done.last_metrics(), read_config(done.config_path)
    steps, images = (
        settings.epochs * config.derived["steps_per_epoch"],
        config.derived["batch_size"],
    )
    return {
        "epochs": settings.epochs,
        "steps": steps,
        **exposure(settings.method, settings.method_args, steps * images, macs),
        "seconds": round(time.monotonic() - begin, 1),
        "images_per_s": round(float(metrics["images_per_second"]), 1),
        "loss": float(metrics["loss"]),
        "backend": config.backend,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _macs(settings):
    """Forward multiply-accumulates of the method for one image."""
    from eesmm_keras.training.pretraining import build_backbone, build_method

    backbone = build_backbone(settings.backbone, settings.image_size)
    return float(build_method(settings, backbone).macs())


def _length(spec, macs, speed):
    """Epochs and steps of the budget; `speed()` gives images per second, if that must be known."""
    from eesmm_keras.data.sources import limit_source, open_source

    chosen = spec["settings"]
    kind, amount = chosen["budget"]
    if kind == "epochs":
        return {"epochs": int(amount)}
    images = {
        "images": lambda: amount,
        "gmacs": lambda: amount * 1e9 / macs,
        "minutes": lambda: amount * 60 * speed(),
    }[kind]()
    batch = chosen["batch_size"]
    if images < batch / 2:
        raise UserError(
            f"The budget {kind}={amount:g} is less than a step of {batch} images, which takes "
            f"{batch * macs / 1e9:.3g} GMACs. Take a larger budget or a smaller --batch-size."
        )
    source = open_source(spec["data"], **spec["where"], seed=chosen["seed"])
    available = len(limit_source(source, chosen["limit"], seed=chosen["seed"]))
    return run_length(images, batch, available)


def _finetune(spec, folder, weights, labels, test):
    """Accuracy on the test images after fine-tuning on a part of the labels."""
    from eesmm_keras.comparison.specs import label_settings
    from eesmm_keras.training.evaluating import scores
    from eesmm_keras.training.finetuning import finetune
    from eesmm_keras.training.settings import resolve
    from eesmm_keras.training.weights import load_checked

    chosen, out = spec["settings"], folder / "finetune"
    shutil.rmtree(out, ignore_errors=True)
    options = {
        "data": spec["data"],
        **spec["where"],
        "weights": weights,
        **{key: chosen[key] for key in ("backbone", "image_size", "limit", "seed")},
        **label_settings(labels),
        # The test that counts comes at the end, on other images.
        "val_limit": 100,
        "checkpoint_every": "1000 minutes",
        "out": str(out),
        **chosen["finetune"],
    }
    options = {key: value for key, value in options.items() if value is not None}
    run, _ = finetune(resolve("finetune", options=options), say=lambda line: None)
    result = scores(load_checked(run.path), test)["accuracy"]
    shutil.rmtree(out)
    return result


def run_and_write(spec):
    """Run a cell and write its settings and results to `spec["result"]`; returns the results."""
    if spec.get("cores"):
        os.sched_setaffinity(0, spec["cores"])
    result = run_cell(spec)
    target = Path(spec["result"])
    partial = target.with_suffix(".partial")
    content = {"settings": spec["settings"], "result": result}
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, target)
    return result


if __name__ == "__main__":
    child_process.serve(run_and_write)

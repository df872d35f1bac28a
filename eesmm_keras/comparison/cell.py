"""One cell of a comparison, alone in a process: pre-train, probe, fine-tune, write what came out."""

import csv
import json
import os
import resource
import shutil
import sys
import time
from pathlib import Path

# Method of the row that shows what random weights give.
NOTHING = "none"
_TRIAL_STEPS = 40


def run_cell(spec):
    """Results of one method and seed as a dict; files go to `spec["folder"]`.

    Args:
        spec: dict, see `compare.cells`.
    """
    from eesmm_keras.quiet import load_backend

    load_backend()
    import keras

    from eesmm_keras.data.sources import limit_source, open_source
    from eesmm_keras.evaluation.probes import make_probe
    from eesmm_keras.training.pretraining import build_backbone
    from eesmm_keras.training.probing import features_of
    from eesmm_keras.training.weights import load_backbone

    folder = Path(spec["folder"])
    # What an interrupted cell left behind.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    result = {"method": spec["method"], "arguments": spec["arguments"], "seed": spec["seed"]}
    weights = "none"
    if spec["method"] == NOTHING:
        keras.utils.set_random_seed(spec["seed"])
        backbone = build_backbone(spec["backbone"], spec["image_size"])
    else:
        result.update(_pretrain(spec, folder))
        weights = str(folder / "pretrain")
        backbone = load_backbone(weights)

    where = {**spec["where"], "labelled": True}
    train, test = (open_source(spec["data"], split, **where) for split in ("train", "test"))
    # The same images for all seeds: the spread is that of training.
    train, test = (limit_source(source, spec["probe_limit"]) for source in (train, test))
    sets = features_of(backbone, train, test)
    result["knn"], result["linear"] = (make_probe(mode).score(*sets) for mode in ("knn", "linear"))
    for share in spec["label_shares"]:
        result[f"finetune_{share:g}"] = _finetune(spec, folder, weights, share, test)
    return result


def _pretrain(spec, folder):
    from eesmm_keras import methods
    from eesmm_keras.training.pretraining import pretrain
    from eesmm_keras.training.settings import resolve

    options = {
        "data": spec["data"],
        **spec["where"],
        "method": spec["method"],
        "backbone": spec["backbone"],
        "image_size": spec["image_size"],
        "batch_size": spec["batch_size"],
        "limit": spec["limit"],
        "seed": spec["seed"],
        "pictures_every": 10**6,
        "checkpoint_every": "1000 minutes",
        **spec["settings"],
        "method_args": spec["arguments"],
    }
    options = {key: value for key, value in options.items() if value is not None}

    def run(name, **changes):
        settings = resolve("pretrain", options={**options, "out": str(folder / name), **changes})
        return pretrain(settings, say=lambda line: None), settings

    kind, amount = spec["budget"]
    length = {"epochs": int(amount)}
    if kind == "minutes":
        trial, settings = run("trial", epochs=1, steps_per_epoch=_TRIAL_STEPS)
        rate = float(_last_metrics(trial)["images_per_second"])
        length = run_length(amount * 60 * rate, settings.batch_size, _images(spec))
        shutil.rmtree(folder / "trial")
    begin = time.monotonic()
    finished, settings = run("pretrain", **length)
    seconds = time.monotonic() - begin
    metrics = _last_metrics(finished)
    steps = settings.epochs * settings.steps_per_epoch
    views = methods.get(spec["method"]).batch_rule(spec["arguments"]).views
    return {
        "epochs": settings.epochs,
        "steps": steps,
        "images_seen": steps * settings.batch_size,
        "views_seen": steps * settings.batch_size * views,
        "seconds": round(seconds, 1),
        "images_per_s": round(float(metrics["images_per_second"]), 1),
        "loss": float(metrics["loss"]),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def run_length(images, batch_size, available):
    """Epochs of equal length that see so many images in all: dict of settings.

    Args:
        images: number to be seen, to within half a batch an epoch.
        available: images there are, about what an epoch sees.
    """
    steps = max(1, round(images / batch_size))
    epochs = max(1, round(images / max(available, batch_size)))
    return {"epochs": epochs, "steps_per_epoch": max(1, round(steps / epochs))}


def _images(spec):
    from eesmm_keras.data.sources import limit_source, open_source

    source = open_source(spec["data"], **spec["where"], seed=spec["seed"])
    return len(limit_source(source, spec["limit"], seed=spec["seed"]))


def _last_metrics(run):
    with open(run.metrics_path, newline="") as file:
        return list(csv.DictReader(file))[-1]


def _finetune(spec, folder, weights, share, test):
    """Accuracy on the test images after fine-tuning on a share of the labels."""
    from eesmm_keras.training.evaluating import scores
    from eesmm_keras.training.finetuning import finetune
    from eesmm_keras.training.settings import resolve
    from eesmm_keras.training.weights import load_checked

    out = folder / f"finetune_{share:g}"
    options = {
        "data": spec["data"],
        **spec["where"],
        "weights": weights,
        "backbone": spec["backbone"],
        "image_size": spec["image_size"],
        "label_share": share,
        # The test that counts comes at the end, on other images.
        "val_limit": 100,
        "limit": spec["limit"],
        "seed": spec["seed"],
        "checkpoint_every": "1000 minutes",
        "out": str(out),
        **spec["finetune_settings"],
    }
    options = {key: value for key, value in options.items() if value is not None}
    run, _ = finetune(resolve("finetune", options=options), say=lambda line: None)
    result = scores(load_checked(run.path), test)["accuracy"]
    shutil.rmtree(out)
    return result


def main():
    spec = json.loads(sys.argv[1])
    result = run_cell(spec)
    target = Path(spec["result"])
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1))
    os.replace(partial, target)


if __name__ == "__main__":
    main()

"""`eesmm doctor`: everything that can be said of a run before it begins."""

import os
import shutil
from pathlib import Path

import numpy as np

from eesmm_keras.backbones import preset_arguments
from eesmm_keras.backbones.presets import default_backbone
from eesmm_keras.data.sources import examine, open_source
from eesmm_keras.data.statistics import measure
from eesmm_keras.errors import UserError
from eesmm_keras.image_size import both_sides, in_words, plain_size
from eesmm_keras.names import built_by, counted, shortened
from eesmm_keras.studies.doctor.images import decode_all, decode_speed, say_statistics
from eesmm_keras.studies.doctor.trial import find_batch
from eesmm_keras.training.bad_images import allowed_bad
from eesmm_keras.training.batch_plan import BatchPlan
from eesmm_keras.training.inputs import asked_reading, start_of
from eesmm_keras.training.pretraining import batch_rule
from eesmm_keras.training.settings import as_dict

_SHOWN = 5
# Beside the checkpoints that a run keeps: the next one being written, and at last the model.
_MORE_COPIES = 2
_MIB, _GIB = 2**20, 2**30


def doctor(
    settings, trial=True, thorough=False, bad_list=None, stats_file=None, ends="range", say=print
):
    """Look at images and at the chosen setup on this machine, and say what was found.

    Args:
        settings: `PretrainSettings`; `out` is where the run would be.
        trial: bool, whether training steps are tried, each in a process of its own.
        thorough: bool, whether every image is decoded, not only looked at.
        bad_list: path of a file that gets every bad image, one a line; or None.
        stats_file: path of a file that gets the pixels' `Statistics`; or None.
        ends: which values are to be pixels 0 and 255, see `data.statistics.measure`.
        say: takes lines for the screen.

    Returns:
        Dict with `parts` (list of `Part`), `decode` (images/s of one core), `warnings` (list of str),
        `statistics` (`Statistics`; None of 8-bit RGB unless they go to a file),
        and with a trial `trials`, `largest_batch`, `steps`, `epoch_s` and `checkpoint` (bytes).

    Raises:
        UserError: no such data, encoder or method, or nothing can be read.
    """
    backbone = settings.backbone or default_backbone(settings.data)
    image_shape = preset_arguments(backbone)[1]["image_shape"]
    with built_by(f"encoder {shortened(backbone)}"):
        image_size = settings.image_size or plain_size(image_shape[:2])
    settings = settings.replaced(backbone=backbone, image_size=image_size)
    where = {
        "data_dir": settings.data_dir,
        "max_image_pixels": settings.max_image_pixels,
        "follow_links": settings.follow_links,
        "reading": asked_reading(settings, start_of(settings.init_from)),
    }
    parts, source = examine(settings.data, **where), open_source(settings.data, **where)
    statistics = None
    if stats_file is not None or not source.reading.plain:
        statistics = measure(source, None if thorough else 256, ends)
        settings = settings.replaced(channels=source.channels, stats=None)
    decode = decode_speed(source, settings.image_size, settings.crop_scale, settings.crop_ratio)
    if thorough:
        decode_all(source)
    _add_late(parts, source)
    warnings = _warnings(parts, settings)
    result = {"parts": parts, "decode": decode, "warnings": warnings, "statistics": statistics}
    for part in parts:
        _say_part(part, say)
    if statistics is not None:
        say_statistics(statistics, say)
    cores = os.cpu_count() or 1
    say(
        f"Decoding: {decode:.0f} images/s on one core, up to {decode * cores:.0f} on all {cores} "
        f"({in_words(settings.image_size)}-pixel crops, read as training reads them)"
    )
    if trial:
        result.update(_try(settings, len(source), decode * cores, say))
    for warning in [*warnings, *result.pop("more", [])]:
        say(f"Warning: {warning}")
    if bad_list is not None:
        _write_list(Path(bad_list), parts)
    if stats_file is not None:
        statistics.write(stats_file)
        say(f"Statistics: {stats_file} (--stats {stats_file})")
    return result


def _add_late(parts, source):
    """Count images that failed only when they were decoded as bad ones of the first part."""
    known = {name for part in parts for name, _ in part.bad}
    late = [(name, why) for name, why in source.bad if name not in known]
    parts[0].bad += late
    parts[0].count -= len(late)


def _say_part(part, say):
    size = "" if part.size is None else f", {part.size / _MIB:.0f} MiB"
    say(f"{part.name}: {counted(part.count, 'image')}{size}")
    if len(part.sides):
        area = part.sides.astype(np.int64).prod(axis=1).argsort()
        least, middle, most = (
            "x".join(str(side) for side in part.sides[area[k]]) for k in (0, len(area) // 2, -1)
        )
        say(f"  pixels: {least} to {most}, in the middle {middle}")
    if part.modes:
        modes = sorted(part.modes.items(), key=lambda item: -item[1])
        say("  channels: " + ", ".join(f"{mode} {count}" for mode, count in modes))
    if part.classes:
        fewest, most = (choose(part.classes, key=part.classes.get) for choose in (min, max))
        say(
            f"  classes: {len(part.classes)}, from {part.classes[fewest]} images ({fewest}) "
            f"to {part.classes[most]} ({most})"
        )
    else:
        say("  no labels")
    for name, reason in part.bad[:_SHOWN]:
        say(f"  bad: {name} {reason}")
    if len(part.bad) > _SHOWN:
        say(f"  bad: and {len(part.bad) - _SHOWN} more (--list FILE names them all)")


def _warnings(parts, settings):
    found = []
    for part in parts:
        total = part.count + len(part.bad)
        allowed = allowed_bad(total, settings.max_bad_images)
        if part.bad:
            text = f"{part.name}: {len(part.bad)} of {counted(total, 'image')} cannot be read"
            over = (
                f", more than the {allowed} that a run skips: repair them or set --max-bad-images"
            )
            found.append(text + (over if len(part.bad) > allowed else "; a run skips them"))
        if part.duplicates:
            shown = "; ".join(", ".join(group) for group in part.duplicates[:_SHOWN])
            found.append(
                f"{part.name}: {counted(len(part.duplicates), 'name')} more than once, but for suffix "
                f"or letter case: {shown}"
            )
        if part.links:
            lead = "leads" if part.links == 1 else "lead"
            found.append(
                f"{part.name}: {counted(part.links, 'link')} {lead} out of the folder (--follow-links)"
            )
        height, width = both_sides(settings.image_size)
        small = int((part.sides < (width, height)).any(axis=1).sum()) if len(part.sides) else 0
        if small:
            found.append(
                f"{part.name}: {small} of {len(part.sides)} images looked at are smaller than "
                f"{in_words(settings.image_size)} pixels and will be enlarged (--image-size)"
            )
        counts = list((part.classes or {}).values())
        if counts and max(counts) > 10 * max(min(counts), 1):
            found.append(f"{part.name}: the largest class has over ten times the smallest's images")
        if counts and min(counts) == 0:
            found.append(f"{part.name}: a class has no image that can be read")
    return found


def _try(settings, count, decode, say):
    """Trial steps, the largest batch, time of an epoch and the checkpoints' space."""
    count = min(count, settings.limit or count)
    plan = BatchPlan.make(settings, count, **batch_rule(settings))
    batch, steps = plan.batch_size, plan.steps
    trials, largest = find_batch(as_dict(settings), batch, plan.group)
    result, more = {"trials": trials, "largest_batch": largest}, []
    for trial in trials:
        say(f"Trial: {_trial_line(trial)}")
    good = [trial for trial in trials if "failure" not in trial]
    if not good:
        reason = trials[0]["failure"]
        raise UserError(f"{settings.method} with {settings.backbone} cannot be trained: {reason}.")
    last = good[-1]
    setup = f"{settings.method}, {settings.backbone}, {in_words(settings.image_size)} pixels"
    say(
        f"Largest batch that fits: about {largest} ({setup}, {settings.precision}; from the peaks "
        f"above, into 80 % of {last['limit'] / _GIB:.1f} GiB on the {last['device']})"
    )
    if largest < batch:
        more.append(f"--batch-size {batch} does not fit into memory: take {largest} or less")
    speed = last["batch"] / last["seconds"]
    # On a CPU reading and training share the cores; beside an accelerator they overlap.
    times = 1 / speed, 1 / max(decode, 1e-9)
    each = sum(times) if last["device"] == "CPU" else max(times)
    epoch = steps * batch * each
    if times[1] > times[0]:
        more.append(
            f"reading ({decode:.0f} images/s) is slower than training ({speed:.0f}): smaller image "
            "files or more cores would make it faster"
        )
    say(
        f"An epoch: {counted(steps, 'step')} of {counted(batch, 'image')}, about {_time(epoch)} "
        "after compiling"
    )
    free = shutil.disk_usage(_existing(Path(settings.out or "."))).free
    space = (settings.checkpoint_keep + _MORE_COPIES) * last["state"]
    say(
        f"A checkpoint: {last['state'] / _MIB:.0f} MiB; a run needs up to "
        f"{space / _MIB:.0f}, and {free / _GIB:.1f} GiB are free"
    )
    if space > free:
        more.append(f"the disk of {settings.out or 'this folder'} is too full for checkpoints")
    return {**result, "steps": steps, "epoch_s": epoch, "checkpoint": last["state"], "more": more}


def _trial_line(trial):
    if "failure" in trial:
        return f"batch {trial['batch']} failed: {trial['failure']}"
    return (
        f"batch {trial['batch']}, {trial['batch'] / trial['seconds']:.1f} images/s "
        f"({trial['seconds']:.3f} s a step, first step {trial['first_s']:.0f} s), "
        f"peak {trial['peak'] / _GIB:.2f} GiB"
    )


def _time(seconds):
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _existing(path):
    """The nearest folder above that exists."""
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)


def _write_list(path, parts):
    try:
        lines = [f"{name}: {reason}\n" for part in parts for name, reason in part.bad]
        path.write_text("".join(lines), "utf-8")
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}. Choose another --list.") from error

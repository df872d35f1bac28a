"""Folders of images: which files count, how classes and parts are told, and what is left out."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from eesmm_keras.data._source import ImageSource, all_bad, choose_part, piece_indices
from eesmm_keras.data.decoding import check_header
from eesmm_keras.data.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
_PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_LAYOUT = (
    "Labels need one folder per class, with images in it: 'cats/1.jpg', 'dogs/2.jpg' "
    "(or 'train/cats/1.jpg' and so on, with 'val' and 'test' beside 'train')."
)


def open_folder(spec, split, val_fraction, seed, labelled):
    """Open a folder of images; see `sources.open_source` for the layouts and the arguments."""
    root = Path(spec)
    if not root.exists():
        raise DataError(f"There is no folder '{root}'. Check the path.")
    if not root.is_dir():
        raise DataError(f"'{root}' is a file. Expected a folder of images.")

    parts = _find_parts(root)
    part, piece, note = choose_part(parts, split)
    folder = parts[part]
    files, links = _list_images(folder)
    if not files:
        raise DataError(
            f"'{folder}' holds no images. Expected files that end in {', '.join(SUFFIXES)}, "
            f"in the folder or in folders below it.{_links_note(links)}"
        )
    # The other parts number their classes as the train part does, even where they lack some.
    names = _class_names(files if part == "train" else _list_images(parts["train"])[0])
    if labelled and names is None:
        raise _no_classes(parts["train"], files)
    labels = None if names is None else _labels(files, names, folder)

    # Split before checking: a file that turns bad must not move the others between the parts.
    index = piece_indices(piece, labels, len(files), val_fraction, seed)
    paths = [folder / files[i] for i in index]
    reasons = _check(paths)
    good = [k for k, reason in enumerate(reasons) if reason is None]
    bad = [(str(paths[k]), why) for k, why in enumerate(reasons) if why is not None]
    if not good:
        raise all_bad(str(folder), bad)
    return ImageSource(
        str(spec),
        [paths[k] for k in good],
        labels=None if labels is None else labels[index[good]],
        class_names=names,
        note=f"{note}{_links_note(links)}".strip(),
        bad=bad,
    )


def _find_parts(root):
    """`{"train": folder, ...}`; the root itself is the train part where it is not divided."""
    try:
        folders = [entry for entry in sorted(root.iterdir()) if _is_open_folder(entry)]
    except OSError as error:
        raise DataError(f"Cannot list '{root}': {error.strerror}.") from error
    # Any other folder means that 'train' is a class: a data set of vehicles has one.
    if root / "train" not in folders or any(f.name not in _PARTS for f in folders):
        return {"train": root}
    return {_PARTS[folder.name]: folder for folder in folders}


def _is_open_folder(path):
    return not path.name.startswith(".") and path.is_dir() and not path.is_symlink()


def _list_images(folder):
    """List the images below a folder, as relative paths in a fixed order.

    Names that begin with a dot are ignored; links that lead out of the folder are not followed.

    Returns:
        `(files, links)`: list of `Path`, and how many links led out.
    """
    files, links, root = [], 0, folder.resolve()

    def fail(error):
        raise DataError(f"Cannot list '{error.filename}': {error.strerror}.") from error

    for where, folders, names in os.walk(folder, onerror=fail):  # follows no linked folder
        here = Path(where)
        folders[:] = [name for name in folders if not name.startswith(".")]
        links += sum(_leads_out(here / name, root) for name in folders)
        for name in names:
            if name.startswith(".") or not name.lower().endswith(SUFFIXES):
                continue
            if _leads_out(here / name, root):
                links += 1
            else:
                files.append((here / name).relative_to(folder))
    return sorted(files), links


def _leads_out(path, root):
    return path.is_symlink() and not path.resolve().is_relative_to(root)


def _links_note(links):
    return f" {links} link(s) that lead out of the folder were not followed." if links else ""


def _class_names(files):
    """The names of two or more top folders that hold all the images, or None."""
    names = {file.parts[0] for file in files}
    if len(names) < 2 or any(len(file.parts) == 1 for file in files):
        return None
    return tuple(sorted(names))


def _labels(files, names, folder):
    number = {name: label for label, name in enumerate(names)}
    unknown = sorted({file.parts[0] for file in files} - set(names))
    if unknown:
        raise DataError(
            f"'{folder}' holds {', '.join(repr(name) for name in unknown[:5])}, which is no class "
            "folder of 'train'. Expected the same class folders in both."
        )
    return np.array([number[file.parts[0]] for file in files], np.int64)


def _no_classes(folder, files):
    tops = {file.parts[0] for file in files}
    if len(tops) == 1 and (folder / min(tops)).is_dir():
        return DataError(
            f"'{folder}' holds one class, '{min(tops)}'. Classification needs two. {_LAYOUT}"
        )
    return DataError(f"'{folder}' has no class folders, or has images beside them. {_LAYOUT}")


def _check(paths):
    """The reason against each file, or None. Threads: the time goes into opening files."""

    def reason(path):
        try:
            check_header(path)
        except DataError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(reason, paths))

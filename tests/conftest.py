import gc
import importlib.util
import os
import runpy
import tempfile
from pathlib import Path

# Workers share the cores: threads that wait for one make PyTorch far slower.
if "PYTEST_XDIST_WORKER" in os.environ:
    _workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // _workers))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Compiling takes most of the time of small tests on JAX, and optimising most of that.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
)

import keras
import numpy as np
import pytest

from eesmm_keras import EESMM, SwinBackbone
from slow_tests import is_slow

# In this process and in those that tests start, see there.
_site = Path(__file__).parent / "site"
runpy.run_path(str(_site / "sitecustomize.py"))
_paths = [str(_site), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ["PYTHONPATH"] = os.pathsep.join(_paths)

# No test may write into the user's cache folder.
_cache = tempfile.TemporaryDirectory(prefix="eesmm-test-index-")
os.environ["EESMM_CACHE"] = _cache.name

if keras.backend.backend() == "jax":
    # Many tests compile the same small programs: compile each once for all tests and workers.
    import jax

    jax.config.update(
        "jax_compilation_cache_dir", os.path.join(tempfile.gettempdir(), "eesmm-test-jax-cache")
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


# Nothing in these depends on the Keras backend: one run is enough.
_BACKEND_FREE = (
    "answers",
    "architecture",
    "automatic",
    "batch_plan",
    "beforehand",
    "candidates",
    "child_process",
    "cli_boundary",
    "cli_lists",
    "cli_odd_calls",
    "cluster",
    "converters_padding",
    "converters_refusals",
    "damaged_runs",
    "data_augmentation",
    "data_bad_files",
    "data_bulk",
    "data_decoding",
    "data_family",
    "data_formats",
    "data_image_size",
    "data_index",
    "data_pipeline",
    "data_reading",
    "data_sources",
    "data_statistics",
    "data_tfds",
    "demo",
    "detection",
    "detection_data",
    "detection_targets",
    "disjoint_masks",
    "docs",
    "docs_run",
    "evaluation_classifier",
    "evidence_page",
    "exports_cards",
    "fast_reading",
    "hosts",
    "inputs_commands",
    "left_behind",
    "list",
    "model_files",
    "neighbours",
    "reports",
    "prepared",
    "properties",
    "reproductions",
    "resizing",
    "run_folder",
    "segmentation",
    "segmentation_data",
    "settings",
    "sliding",
    "tracking",
    "training_health",
    "untrusted_files",
)
# Compiling makes these take minutes on JAX, where test_resume, test_distribution and
# test_cross_backend go the same ways; equivalences are between methods, not of a backend.
_NOT_ON_JAX = (
    "benchmark",
    "cli",
    "compare",
    "doctor",
    "equivalences",
    "exports_files",
    "exports_refusals",
    "plugins_models",
)
# They start processes and read what these answer; what runs in them is tested on torch elsewhere.
_NOT_ON_TORCH = ("compare", "doctor", "plugins_models")
# What one backend made is compared bit for bit with what it makes now; exports run on TensorFlow.
_ONLY_TENSORFLOW = (
    "golden",
    "exports_encoders",
    "exports_formats",
    "exports_foreign",
    "exports_precision",
)
_elsewhere = {
    "tensorflow": (),
    "torch": _BACKEND_FREE + _ONLY_TENSORFLOW + _NOT_ON_TORCH,
    "jax": _BACKEND_FREE + _ONLY_TENSORFLOW + _NOT_ON_JAX,
}
collect_ignore = [f"test_{name}.py" for name in _elsewhere[keras.backend.backend()]]


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items):
    for item in items:
        if is_slow(item.nodeid, keras.backend.backend()):
            item.add_marker("slow")


def pytest_collection_finish():
    """What was imported lives to the end: not to be looked through thousands of times."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_sessionfinish():
    """pytest looks for garbage as it ends, and xdist sends a SIGINT to who takes longer than 5 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _fixed_seed():
    keras.utils.set_random_seed(0)


# For commands: three blocks, so that there is little to trace and compile.
TINY_SWIN = "swin_mini_32:depths=[1, 2]:num_heads=[2, 2]:embed_dim=16"


def tiny_backbone(**kwargs):
    """32-pixel Swin with 64 mask units of 4 pixels; windows of 3 do not divide the maps."""
    return SwinBackbone(
        **{
            "image_shape": (32, 32, 3),
            "embed_dim": 16,
            "depths": (2, 2),
            "num_heads": (2, 4),
            "window_size": 3,
            "patch_size": 2,
            **kwargs,
        }
    )


@pytest.fixture(scope="session")
def shared_backbone():
    """For tests of arguments: nothing of what they make is ever trained."""
    return tiny_backbone()


def tiny_eesmm(backbone=None, **kwargs):
    options = {"decoder_dim": 32, "decoder_num_heads": 4, "mask_bank_size": 8, "seed": 1}
    return EESMM(backbone or tiny_backbone(), **{**options, **kwargs})


def random_images(count, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), "uint8")


def hide_package(name, monkeypatch):
    """As if a package were not installed."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda asked: None if asked == name else found(asked)
    )


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def one_hot(classes):
    """Targets of a data set of labels, as `labelled_dataset` takes them."""
    import tensorflow as tf

    return lambda labels: tf.one_hot(labels, classes)

"""For processes of the tests: torchvision can be imported beside a PyTorch of another build.

A torchvision that was built for CUDA cannot load its operators beside a PyTorch for the CPU alone, and
fails as it is imported. timm and transformers import it, and call none of its operators here.
"""

import importlib.util
import sys
from pathlib import Path


class _DeclareOperators:
    """Declares what torchvision would look for, once, right before it is imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "torchvision":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("torchvision")
        if spec is not None:
            _declare(Path(spec.origin).with_name("_C.so"))
        return spec


def _declare(library):
    import torch

    try:
        torch.ops.load_library(str(library))
    except OSError:
        for name in ("nms", "qnms"):
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", signature)


# A process of the tests' own processes comes here twice: at its start, and through conftest.py.
if not any(type(finder).__name__ == _DeclareOperators.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _DeclareOperators())

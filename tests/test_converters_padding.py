"""Libraries that pad maps otherwise: what is read of them says so where it matters."""

from types import SimpleNamespace

import pytest

from eesmm_keras.converters.keras_hub_swin import KerasHubSwin
from eesmm_keras.converters.swin_layout import SwinLayout, is_padded, stage_maps
from eesmm_keras.converters.swin_timm import SwinTimm


def test_maps_and_windows_of_every_stage():
    arguments = {"image_shape": (64, 32, 3), "patch_size": 4, "depths": (1, 2), "window_size": 4}
    assert stage_maps(arguments) == [(16, 8, 4), (8, 4, 4)]
    assert stage_maps({**arguments, "window_size": (7, 3)}) == [(16, 8, 7), (8, 4, 3)]
    assert [is_padded(*sides) for sides in ((16, 8, 4), (16, 8, 7), (7, 5, 7))] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("layout", "depths", "window", "told"),
    [
        (SwinTimm, (2, 2), 4, False),
        (SwinTimm, (2, 2), 3, True),
        (SwinTimm, (1, 1), 3, False),  # nothing is shifted
        (KerasHubSwin, (2, 2), 4, False),
        (KerasHubSwin, (1, 1), 3, True),
    ],
)
def test_a_note_where_features_differ(monkeypatch, layout, depths, window, told):
    arguments = {
        "image_shape": (32, 32, 3), "patch_size": 2, "depths": depths, "window_size": window,
    }  # fmt: skip
    monkeypatch.setattr(SwinLayout, "arguments", lambda self, weights: dict(arguments))
    for base in layout.__mro__[1:-1]:
        if "arguments" in vars(base) and base is not SwinLayout:
            monkeypatch.setattr(base, "arguments", lambda self, weights: dict(arguments))
    weights = SimpleNamespace(notes=[])
    assert layout().arguments(weights) == arguments
    assert bool(weights.notes) is told
    assert all("32x32 pixels" in note for note in weights.notes)

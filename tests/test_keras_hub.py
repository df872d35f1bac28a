"""Our encoder in models of keras-hub, by the programs of docs/keras_hub.md."""

import keras
import numpy as np
import pytest

from eesmm_keras import SwinBackbone
from examples import programs

PROGRAMS = programs("keras_hub.md")


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="two backends are enough")
@pytest.mark.parametrize("name", ["classifier", "detector", "segmenter"])
def test_a_program_trains_predicts_saves_and_loads_the_same(name, tmp_path, monkeypatch):
    pytest.importorskip("keras_hub")
    monkeypatch.chdir(tmp_path)
    drawn = {}

    def keep(self, *args, **kwargs):
        drawn.update({v.path: keras.ops.convert_to_numpy(v) for v in self.weights})
        return fit(self, *args, **kwargs)

    fit = keras.Model.fit
    monkeypatch.setattr(keras.Model, "fit", keep)
    names = {}
    exec(PROGRAMS[name], names)  # compares the predictions of what it saved with its own
    assert (tmp_path / f"{name}.keras").is_file()
    assert np.isfinite(names["history"].history["loss"]).all()
    moved = [v for v in names["encoder"].weights if v.path in drawn]
    assert len(moved) == len(names["encoder"].weights) > 50
    changed = [(keras.ops.convert_to_numpy(v) != drawn[v.path]).any() for v in moved]
    assert np.mean(changed) > 0.9


def test_all_programs_of_the_page_are_run():
    assert set(PROGRAMS) == {"classifier", "detector", "segmenter"}


def test_feature_maps_are_named_by_their_stride():
    for patch, names in ((4, ["P2", "P3", "P4", "P5"]), (2, ["P1", "P2", "P3", "P4"])):
        backbone = SwinBackbone((64, 64, 3), 8, (1,) * 4, (1,) * 4, 2, patch_size=patch)
        assert list(backbone.pyramid_outputs) == names
        for name, x in backbone.pyramid_outputs.items():
            assert x.shape[1] == 64 // 2 ** int(name[1:])

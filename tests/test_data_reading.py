"""What a reading takes, keeps and refuses; batches of windows of images."""

import numpy as np
import pytest

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import pretrain_dataset
from eesmm_keras.data.reading import Reading
from eesmm_keras.data.sources import open_source


def test_batches_of_tiles_are_a_function_of_seed_and_step(tmp_path):
    tifffile, rng = pytest.importorskip("tifffile"), np.random.default_rng(0)
    for k in range(3):
        picture = rng.integers(0, 65536, (70, 90, 4), np.uint16)
        path = tmp_path / f"{k}.tif"
        tifffile.imwrite(path, picture, photometric="minisblack", planarconfig="contig")
    source = open_source(tmp_path, reading=Reading(tile=(16, 24)))
    source.reading = source.reading.replaced(low=(0,) * 4, high=(65535,) * 4)
    whole = list(pretrain_dataset(source, (8, 12), 2, 6, seed=4).as_numpy_iterator())
    late = list(pretrain_dataset(source, (8, 12), 2, 6, seed=4, start_step=3).as_numpy_iterator())
    np.testing.assert_array_equal(whole[3:], late)
    assert whole[0].shape == (2, 8, 12, 4)
    assert whole[0].dtype == np.float32
    assert len(np.unique(np.reshape(whole, (12, -1)), axis=0)) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": ()}, "bands must be"),
        ({"bands": (0,)}, "counted from 1"),
        ({"bands": (1, 2), "channels": 3}, "do not fit together"),
        ({"channels": 0}, "channels must lie in 1..64"),
        ({"pixels": "float"}, "'uint8' or 'native'"),
        ({"tile": 0}, "tile: expected N or H,W"),
        ({"low": (1,), "high": (1,)}, "low must lie below high"),
    ],
)
def test_a_reading_that_is_none_is_refused(options, message):
    with pytest.raises(DataError, match=message):
        Reading(**options)


def test_facts_of_a_reading_are_all_that_differs_from_the_default():
    assert Reading().facts() is None
    assert Reading(channels=3).facts() is None
    odd = Reading(bands=(2, 1), pixels="native", tile=(8, 16), low=(0, 0), high=(1, 2), exif=False)
    assert Reading.of(odd.facts()) == odd
    with pytest.raises(DataError, match="damaged"):
        Reading.of({"channel": 3})

"""Facts that hold for all arguments: the planner of groups, masks, crops, tiles, orders, settings."""

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eesmm_keras.data.image_source import ImageSource
from eesmm_keras.data.order import batch_members
from eesmm_keras.data.reading import Reading
from eesmm_keras.data.views import CentralView, RandomView
from eesmm_keras.errors import UserError
from eesmm_keras.names import split_arguments
from eesmm_keras.ops.grouping import (
    GroupPlanner,
    choose_capacity,
    pack,
    stage_geometries,
    token_coordinates,
)
from eesmm_keras.ops.masking import num_hidden, unit_order
from eesmm_keras.training.settings import PretrainSettings, as_dict, resolve

FEW = settings(max_examples=60, deadline=None)


@FEW
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=40), more=st.integers(0, 20))
def test_packed_pieces_fit_and_no_two_groups_could_be_one(sizes, more):
    capacity = max(sizes) + more
    bins, count = pack(sizes, capacity)
    held = np.bincount(bins, sizes, minlength=count)
    assert len(held) == count
    assert held.max() <= capacity
    assert count == 1 or np.sort(held)[:2].sum() > capacity


@FEW
@given(
    examples=st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=9), min_size=1, max_size=4)
)
def test_the_chosen_groups_hold_every_example(examples):
    size, count = choose_capacity(examples, 32)
    for sizes in examples:
        assert pack(sizes, size)[1] <= count


@FEW
@given(
    rows=st.integers(1, 5), cols=st.integers(1, 5), share=st.floats(0.05, 1), window=st.integers(1, 7),
    stages=st.integers(1, 3), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_a_plan_holds_each_visible_token_once_beside_those_of_its_window(
    rows, cols, share, window, stages, seed
):
    side = 2 ** (stages - 1)
    shape = (rows * side * 2, cols * side * 2, 3)
    geometry = stage_geometries(shape, 2, 4, (2,) * stages, (window,) * stages, shift=True)
    rng = np.random.default_rng(seed)
    visible = max(1, round(share * rows * cols))
    units = [np.sort(rng.permutation(rows * cols)[:visible]) for _ in range(3)]
    plan = GroupPlanner(geometry, (rows, cols), units).plan(units[-1])
    for number, stage in enumerate(geometry):
        tokens = visible * stage.side**2
        for name, window_size, shift in stage.partitions:
            entry = plan[f"stage_{number}"][name]
            held = entry["index"][entry["index"] < tokens]
            np.testing.assert_array_equal(np.sort(held), np.arange(tokens))
            flat = entry["index"].reshape(-1)
            np.testing.assert_array_equal(flat[entry["inverse"]], np.arange(tokens))
            alone = windows_of(units[-1], cols, stage, window_size, shift)
            for index, segment in zip(entry["index"], entry["segment"], strict=True):
                real = index < tokens
                for first, one in zip(index[real], segment[real], strict=True):
                    mates = set(index[real & (segment == one)].tolist())
                    assert mates == alone[int(first)]


def windows_of(units, cols, stage, window, shift):
    """`{token: tokens of its window}` by hand: roll the map, cut it, keep apart what was far away."""
    ys, xs = token_coordinates(units, cols, stage.side)
    height, width = (-(-length // window) * window for length in (stage.height, stage.width))

    def key(y, x):
        # Swin's regions: rolled by the shift, a window may hold parts that were not neighbours.
        def part(value, length):
            rolled = (value - shift) % length
            region = 0 if rolled < length - window else 1 if rolled < length - shift else 2
            return rolled // window, region if shift else 0

        return part(y, height), part(x, width)

    keys = [key(int(y), int(x)) for y, x in zip(ys, xs, strict=True)]
    return {
        token: {other for other, one in enumerate(keys) if one == keys[token]}
        for token in range(len(keys))
    }


@FEW
@given(units=st.integers(2, 200), ratio=st.floats(0.01, 0.99))
def test_a_mask_hides_and_shows_at_least_one_unit(units, ratio):
    if round(np.ceil(ratio * units - 1e-9)) >= units:
        with pytest.raises(ValueError, match="At least one must be hidden and one visible"):
            num_hidden(units, ratio)
        return
    hidden = num_hidden(units, ratio)
    assert 1 <= hidden <= units - 1
    assert abs(hidden - ratio * units) <= 1
    mask = np.zeros((1, units), int)
    mask[0, np.random.default_rng(0).permutation(units)[:hidden]] = 1
    order, visible = unit_order(mask)
    np.testing.assert_array_equal(np.sort(order), np.arange(units))
    assert (mask[0, order[:visible]] == 0).all()
    assert (mask[0, order[visible:]] == 1).all()


@FEW
@given(
    width=st.integers(1, 60), height=st.integers(1, 60), size=st.tuples(*[st.integers(1, 40)] * 2),
    low=st.floats(0.01, 1), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_crops_have_their_size_and_hold_nothing_but_the_picture(width, height, size, low, seed):
    # Red is the column, so that a crop shows where it lies.
    columns = np.broadcast_to(np.arange(width, dtype="uint8")[None, :, None], (height, width, 3))
    picture = Image.fromarray(np.ascontiguousarray(columns))
    for crop in (
        RandomView(size, (low, 1.0), flip=False)(picture, np.random.default_rng(seed)),
        CentralView(size)(picture),
        CentralView(size, 1.0)(picture),
    ):
        assert crop.shape == (*size, 3)
        assert crop.max() <= width - 1
        assert (np.diff(crop[0, :, 0].astype(int)) >= 0).all()


@FEW
@given(
    sides=st.tuples(*[st.integers(5, 40)] * 2), tile=st.tuples(*[st.integers(1, 5)] * 2),
    overlap=st.floats(0, 0.95),
)  # fmt: skip
def test_tiles_cover_every_pixel(sides, tile, overlap):
    height, width = sides
    numbers = np.arange(height * width).reshape(height, width)
    picture = np.stack([numbers // 65536, numbers // 256 % 256, numbers % 256], axis=-1)
    source = ImageSource("one", [picture.astype("uint8")], reading=Reading(tile=tile))
    tiles = [np.asarray(one).astype(int) for one in source.tiles(0, overlap)]
    assert {one.shape for one in tiles} == {(*tile, 3)}
    seen = {n for one in tiles for n in (one @ [65536, 256, 1]).reshape(-1).tolist()}
    assert seen == set(range(height * width))


@FEW
@given(
    count=st.integers(1, 50), batch=st.integers(1, 12), group=st.integers(1, 4),
    steps=st.integers(1, 8), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_an_epoch_shows_an_image_once_and_mixes_different_ones(count, batch, group, steps, seed):
    count, batch = count + group, batch * group
    shown = [i for s in range(steps) for i in batch_members(count, batch, s, seed, group)]
    length = count - count % group
    for epoch in range(len(shown) // length):
        part = shown[epoch * length : (epoch + 1) * length]
        assert len(set(part)) == length
    for first in range(0, len(shown), group):
        assert len(set(shown[first : first + group])) == group


@FEW
@given(
    st.fixed_dictionaries({}, optional={
        "epochs": st.integers(1, 5000), "batch_size": st.integers(1, 4096),
        "learning_rate": st.floats(0, 1000), "weight_decay": st.floats(0, 1), "flip": st.booleans(),
        "crop_scale": st.tuples(st.floats(0.01, 0.5), st.floats(0.5, 1)).map(list),
        "image_size": st.integers(1, 4096) | st.tuples(*[st.integers(1, 4096)] * 2).map(list),
        "checkpoint_every": st.integers(1, 999).map(lambda n: f"{n} steps"),
        "seed": st.integers(0, 2**32 - 1), "warmup_epochs": st.floats(0, 100),
    })
)  # fmt: skip
def test_settings_come_back_from_a_recipe_as_they_were(tmp_path_factory, values):
    once = as_dict(PretrainSettings(**values))
    path = tmp_path_factory.mktemp("recipe") / "r.yaml"
    path.write_text(yaml.safe_dump({"task": "pretrain", **values}))
    assert as_dict(resolve("pretrain", str(path))) == once


@FEW
@given(st.text(max_size=60))
def test_any_text_as_a_method_is_a_name_or_a_user_error(text):
    try:
        name, arguments = split_arguments(text)
    except UserError:
        return
    assert isinstance(name, str)
    assert isinstance(arguments, dict)


def test_a_piece_larger_than_a_group_is_refused():
    with pytest.raises(ValueError, match="does not fit a group of 3"):
        pack([4], 3)

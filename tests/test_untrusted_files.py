"""Files that nobody should trust: images, recipes and models out of a stranger's hand."""

import contextlib
import io
import pickle
import time
import warnings
import zipfile

import keras
import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from eesmm_keras.data.decoding import check_file, read_rgb
from eesmm_keras.data.errors import DataError
from eesmm_keras.errors import UserError
from eesmm_keras.saving import load_model
from eesmm_keras.training.settings import PretrainSettings, resolve
from eesmm_keras.training.weights import load_checked

FUZZ = settings(max_examples=150, deadline=60_000)
# Numbers that mean sizes, counts and offsets at their worst.
_EVIL = [b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00" * 4, b"\x7f\xff\xff\xff"]


def originals():
    from sklearn.datasets import load_sample_image

    photograph = Image.fromarray(load_sample_image("flower.jpg")).resize((96, 64))
    for form in ("JPEG", "PNG", "BMP", "GIF", "WEBP"):
        for mode in ("RGB", "L", "P") if form in ("PNG", "GIF") else ("RGB",):
            buffer = io.BytesIO()
            photograph.convert(mode).save(buffer, form)
            yield buffer.getvalue()
    grey = np.linspace(0, 65535, 96 * 64).reshape(64, 96).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    yield buffer.getvalue()


ORIGINALS = list(originals())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("untrusted")


@st.composite
def damaged(draw):
    data = bytearray(draw(st.sampled_from(ORIGINALS)))
    for _ in range(draw(st.integers(1, 4))):
        # The first bytes hold most of what a parser believes.
        end = draw(st.sampled_from([40, len(data)]))
        at = draw(st.integers(0, max(0, min(end, len(data)) - 1)))
        piece = draw(st.sampled_from(_EVIL) | st.binary(max_size=6))
        data[at : at + draw(st.sampled_from([len(piece), 0, 50]))] = piece
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@FUZZ
@given(data=damaged() | st.binary(max_size=300))
def test_no_image_file_does_worse_than_a_data_error(folder, data):
    path = folder / "image"
    path.write_bytes(data)
    warnings.simplefilter("ignore")  # Pillow's, on what is odd but can be read
    begin = time.monotonic()
    for read in (read_rgb, check_file):
        try:
            result = read(path, max_pixels=100_000)
        except DataError:
            continue
        assert 0 < result.width * result.height <= 100_000
    assert time.monotonic() - begin < 2


def test_a_small_file_that_claims_a_huge_picture_takes_no_memory(tmp_path):
    import tracemalloc

    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG", optimize=True)
    assert len(bomb.getvalue()) < 20_000
    tracemalloc.start()
    with pytest.raises(DataError, match="9000 x 9000 pixels"):
        read_rgb(bomb.getvalue(), max_pixels=10**7)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


SOME_YAML = "epochs: 3\nmethod_args: {num_mixed: 2}\ncrop_scale: [0.2, 1.0]\n"


@FUZZ
@given(
    text=st.text(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["epochs", "method", "method_args", "crop_scale", "task", 3, None]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=5,
    ).map(yaml.safe_dump)
    | st.tuples(st.integers(0, len(SOME_YAML)), st.text("{}[]&*!:,\t\n-'\"0", max_size=3)).map(
        lambda cut: SOME_YAML[: cut[0]] + cut[1] + SOME_YAML[cut[0] :]
    )
)
@example(text="!!python/object/apply:os.system [echo]")
@example(text="epochs: !!python/name:os.system")
@example(text="a: &a [x, x]\nb: &b [*a, *a]\nepochs: *b")
@example(text="[" * 3000)
@example(text="\x00")
@example(text="method_args: {method_args: }")
def test_no_recipe_does_worse_than_a_user_error(folder, text):
    path = folder / "recipe.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(UserError):
        assert isinstance(resolve("pretrain", str(path)), PretrainSettings)


def test_a_recipe_that_is_no_text_is_told(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00epochs")
    with pytest.raises(UserError, match="not valid"):
        resolve("pretrain", str(tmp_path / "r.yaml"))


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


def test_a_model_file_runs_no_code(tmp_path):
    """Keras' safe mode: a lambda's byte code is refused; so are pickles under any name."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: 2 * x)(inputs))
    model.save(tmp_path / "lambda.keras")
    (tmp_path / "pickle.keras").write_bytes(pickle.dumps(Evil()))
    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as archive:
        archive.writestr("config.json", pickle.dumps(Evil()))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")
    for name in ("lambda", "pickle", "zip"):
        with pytest.raises(UserError, match="cannot be read as a Keras model"):
            load_checked(tmp_path / f"{name}.keras")
    with pytest.raises(ValueError, match=r"[Ll]ambda"):
        load_model(tmp_path / "lambda.keras")


_UNSAFE = (
    "enable_unsafe_deserialization",
    "safe_mode=False",
    "weights_only=False",
    "allow_pickle=True",
    "import pickle",
    "yaml.load(",
    "yaml.unsafe",
)


def test_safe_mode_cannot_be_left_by_accident():
    from pathlib import Path

    import eesmm_keras

    root = Path(eesmm_keras.__file__).parent.parent
    for folder in ("eesmm_keras", "cli", "exports"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text("utf-8")
            for word in _UNSAFE:
                assert word not in text, f"{path.name} has {word}"
            for line in text.splitlines():
                assert "torch.load(" not in line or "weights_only=True" in line, path.name

"""Too many steps in a row that are not finite: back to the last checkpoint, once."""

from types import SimpleNamespace

import keras
import pytest

from conftest import random_images, tiny_backbone, to_numpy
from eesmm_keras import ImageClassifier, LayerDecayAdamW
from eesmm_keras.errors import UserError
from eesmm_keras.training.batch_plan import BatchPlan
from eesmm_keras.training.checkpoints import Checkpoints
from eesmm_keras.training.devices import Devices
from eesmm_keras.training.job import Job, run
from eesmm_keras.training.run_config import asked_config
from eesmm_keras.training.runs import Run
from eesmm_keras.training.settings import PretrainSettings

SETTINGS = PretrainSettings(
    data="none", epochs=2, steps_per_epoch=6, checkpoint_every="2", max_bad_steps=3
)


class Failing(ImageClassifier):
    """Its loss is not finite where a batch is brighter than 65."""

    def call(self, images, training=False):
        logits = super().call(images, training=training)
        bright = keras.ops.cast(keras.ops.max(images), "float32") > 65
        return logits + keras.ops.where(bright, float("nan"), 0.0)


class Brighter(Job):
    """Its batches get brighter with every step, 0, 10, 20, ... 110, the first times."""

    kind = "finetune"

    def __init__(self, bad_passes, use_ema=False):
        super().__init__(SETTINGS, Devices())
        self.bad_passes, self.starts, self.use_ema = bad_passes, [], use_ema
        self.plan = BatchPlan.make(SETTINGS, 48)

    def build(self):
        self.model = Failing(tiny_backbone(depths=(1, 1)), 3)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        self.model.compile(LayerDecayAdamW(1e-3, use_ema=self.use_ema), loss)
        self.model.optimizer.build(self.model.trainable_variables)
        return self.model

    def batches(self, start):
        import tensorflow as tf

        self.starts.append(start)
        pixels = (random_images(4) > 127).astype("uint8")
        labels = keras.utils.to_categorical([0, 1, 2, 0], 3)
        # The first is asked for before training, to see whether there is one.
        slope = 10 if len(self.starts) <= self.bad_passes + 1 else 1
        images = [pixels * (slope * step) for step in range(start, 12)]
        return tf.data.Dataset.from_tensor_slices((images, [labels] * len(images)))

    def members(self, step):
        return {"images": [f"image of step {step}"]}

    def callbacks(self, position, folder):
        return []


def go(job, out):
    said, folder = [], Run(out)
    run(job, asked_config("finetune", {}), folder, job.devices, said.append)
    return folder, said


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_run_goes_back_once_with_half_the_rate(precision, tmp_path):
    keras.config.set_dtype_policy(precision)
    try:
        job = Brighter(bad_passes=1)
        folder, said = go(job, tmp_path / "run")
    finally:
        keras.config.set_dtype_policy("float32")
    # The 7th step, of brightness 60, is the last good one.
    assert sorted(path.name for path in folder.path.glob("nan_step_*")) == [
        "nan_step_10.json", "nan_step_8.json", "nan_step_9.json"
    ]  # fmt: skip
    assert "image of step 7" in (folder.path / "nan_step_8.json").read_text()
    # No checkpoint is written in a row of bad steps.
    assert job.starts == [0, 0, 6]
    assert "back to step 6, with half the learning rate" in said[-1]
    optimizer = getattr(job.model.optimizer, "inner_optimizer", job.model.optimizer)
    assert float(optimizer.rate_factor) == 0.5
    assert int(job.model.skipped_steps) == 0


def test_a_run_that_stays_bad_stops(tmp_path):
    with pytest.raises(UserError, match=r"after going back.*nan_step"):
        go(Brighter(bad_passes=2), tmp_path / "run")


def test_a_run_killed_after_its_last_step_still_gets_its_average(tmp_path):
    job = Brighter(bad_passes=0, use_ema=True)
    model = job.build()
    for average in model.optimizer._model_variables_moving_average:
        average.assign(keras.ops.ones(average.shape))
    folder = Run(tmp_path / "run")
    with folder.opened(asked_config("finetune", {}), job.derived()):
        Checkpoints(folder.checkpoints).save(12, model, {"images": 48})
    go(job, folder.path)
    assert all((to_numpy(v) == 1).all() for v in job.model.trainable_variables)


@pytest.mark.parametrize("built", ["before the scale", "twice"])
def test_checkpoints_that_earlier_releases_wrote_with_loss_scaling_are_read(built, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = Brighter(0).build()
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer = model.optimizer
    own = [
        v
        for v in optimizer.variables
        if not any(v is w for w in optimizer.inner_optimizer.variables)
    ]
    inner = list(optimizer.inner_optimizer.variables)
    assert [v.name for v in own[-2:]] == ["step_counter", "dynamic_scale"]
    assert [v.name for v in inner[-2:]] == ["skipped", "rate_factor"]
    inner[-1].assign(0.25)

    variables = [*own[:-2], *inner]
    if built == "twice":
        unused = [keras.Variable(7, dtype="int32", trainable=False), keras.Variable(1.0)]
        variables = [*own, *inner[:-2], *unused, *inner[-2:]]
    # The model as an earlier release saw it.
    old = SimpleNamespace(
        variables=model.variables,
        derived_variables=(),
        metrics_variables=model.metrics_variables,
        optimizer=SimpleNamespace(variables=variables),
    )
    Checkpoints(tmp_path).save(5, old, {})
    inner[-1].assign(1.0)
    arrays, _ = Checkpoints(tmp_path).load(model)
    names = sorted(name for name in arrays if name.startswith("optimizer/"))
    assert len(names) == len(optimizer.variables)
    assert float(arrays[names[-1]]) == 0.25
    assert float(arrays[names[len(own) - 1]]) == float(optimizer.initial_scale)


def test_a_checkpoint_of_float32_is_not_one_of_float16(tmp_path):
    """Nothing but what earlier releases wrote is read with another number of variables."""
    model = Brighter(0).build()
    Checkpoints(tmp_path).save(5, model, {})
    keras.config.set_dtype_policy("mixed_float16")
    try:
        other = Brighter(0, use_ema=True).build()
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(UserError, match="another model"):
        Checkpoints(tmp_path).load(other)

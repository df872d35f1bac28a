"""Two replicas under tf.distribute.MirroredStrategy, as two logical CPU devices of a child process."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

CHILD = """
import json, sys
import tensorflow as tf
replicas = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from conftest import random_images, tiny_eesmm
from eesmm_keras import LayerDecayAdamW
keras.utils.set_random_seed(0)
with tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)]).scope():
    model = tiny_eesmm(mask_bank_size=1)
    optimizer = LayerDecayAdamW(1e-3)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer)
dataset = tf.data.Dataset.from_tensors(random_images(8)).repeat(3)
print(json.dumps(model.fit(dataset, verbose=0, shuffle=False).history))
"""


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="MirroredStrategy is TensorFlow's"
)
def test_two_replicas_train_like_one():
    """With one mask in the bank, the only thing drawn, both see the same mixes of neighbours."""

    def logs(replicas):
        run = subprocess.run(
            [sys.executable, "-c", CHILD, str(replicas)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parent,
        )  # fmt: skip
        return json.loads(run.stdout.splitlines()[-1])

    one, two = logs(1), logs(2)
    assert two["loss"][0] == pytest.approx(two["loss_mixed"][0] + two["loss_sources"][0], rel=1e-4)
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, two[name], rtol=1e-3)

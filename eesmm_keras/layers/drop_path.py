import keras
from keras import ops

from eesmm_keras.device_waits import SeedGenerator
from eesmm_keras.parallel import draw_rows


@keras.saving.register_keras_serializable(package="eesmm_keras")
class DropPath(keras.layers.Layer):
    """Stochastic depth (Huang et al., 2016): drops whole samples of a residual branch.

    Args:
        rate: probability that a sample's branch is dropped in training; kept ones are scaled by
            `1 / (1 - rate)`.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"rate must be in [0, 1), got {rate}.")
        self.rate = rate
        self.seed = seed
        if rate > 0:
            self.seed_generator = SeedGenerator(seed)
        self.built = True

    def call(self, x, training=None):
        if not training or self.rate == 0:
            return x
        ones = (1,) * (len(x.shape) - 1)

        def draw(rows):
            return keras.random.uniform((rows, *ones), seed=self.seed_generator)

        keep = draw_rows(draw, ops.shape(x)[0]) >= self.rate
        return x * ops.cast(keep, x.dtype) / (1.0 - self.rate)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}

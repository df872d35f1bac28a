import keras

from eesmm_keras.layers._initial import dense_kernel
from eesmm_keras.layers.dropout import Dropout
from eesmm_keras.layers.rows import on_rows
from eesmm_keras.ops.gelu import gelu


@keras.saving.register_keras_serializable(package="eesmm_keras")
class MLP(keras.layers.Layer):
    """Two dense layers with an exact GELU between them, as in every transformer block.

    Args:
        hidden_dim: width of the first layer; the second one goes back to the input's width.
        dropout: rate after each dense layer.
        kernel_initializer: of the dense kernels, see `SwinBackbone`.
    """

    def __init__(self, hidden_dim, dropout=0.0, kernel_initializer=None, **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.kernel_initializer = kernel_initializer
        self.expand = keras.layers.Dense(
            hidden_dim,
            kernel_initializer=dense_kernel(kernel_initializer),
            dtype=self.dtype_policy,
            name="expand",
        )
        self.drop = Dropout(dropout, dtype=self.dtype_policy, name="drop")
        self.contract = None

    def build(self, input_shape):
        self.contract = keras.layers.Dense(
            input_shape[-1],
            kernel_initializer=dense_kernel(self.kernel_initializer),
            dtype=self.dtype_policy,
            name="contract",
        )
        self.expand.build(input_shape)
        self.contract.build((*input_shape[:-1], self.hidden_dim))

    def call(self, x, training=None):
        x = gelu(on_rows(self.expand, x, training), training=training)
        x = self.drop(x, training=training)
        return self.drop(on_rows(self.contract, x, training), training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "dropout": self.dropout,
            "kernel_initializer": self.kernel_initializer,
        }

from keras import ops


def on_rows(dense, x, training):
    """A dense layer on `(..., C)`, in training as one matrix of rows.

    The gradient of its kernel is then one product of two matrices as they lie in memory; for more axes
    XLA lays out the tokens anew. Outside of training the graph stays what exports know.

    Args:
        dense: `keras.layers.Dense`. x: its axes but the first are static. training: bool.
    """
    if not training or len(x.shape) == 2:
        return dense(x)
    y = dense(ops.reshape(x, (-1, x.shape[-1])))
    return ops.reshape(y, (-1, *x.shape[1:-1], y.shape[-1]))

"""What a step must know about data parallelism: nothing else in a method depends on it.

TensorFlow's `MirroredStrategy` runs a step once in every replica, on a contiguous part of the batch,
and every replica's `SeedGenerator` gives the same numbers. JAX traces one step over the whole batch.
"""

import keras


def replica():
    """`(number of replicas, index of the running one)`; `(1, 0)` where a step sees the whole batch."""
    if keras.backend.backend() != "tensorflow":
        return 1, 0
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    # No context: outside of a step, where Keras builds a model or a person looks at pictures.
    if context is None or context.num_replicas_in_sync == 1:
        return 1, 0
    return context.num_replicas_in_sync, context.replica_id_in_sync_group


def draw_rows(draw, rows):
    """Random numbers, one row a sample, that do not depend on the number of replicas.

    Args:
        draw: function from a number of rows to a tensor with so many.
        rows: of this step's part of the batch; all replicas have equally many.

    Returns:
        tensor of `rows` rows: this replica's part of what is drawn for the whole batch.
    """
    replicas, index = replica()
    if replicas == 1:
        return draw(rows)
    return draw(rows * replicas)[index * rows : (index + 1) * rows]


def device_parts(rows):
    """Into how many contiguous parts a batch of `rows` is cut, one per device, as this step sees it.

    1 on TensorFlow, where a step sees one part only, and wherever the batch does not divide.
    """
    if keras.backend.backend() != "jax":
        return 1
    distribution = keras.distribution.distribution()
    count = 1 if distribution is None else distribution.num_model_replicas
    return 1 if rows % count else count


def gather_rows(x):
    """The whole batch's rows of a tensor, in order; gradients go back to the replicas that made them.

    Args:
        x: `(B, ...)`, this replica's part of the batch; all replicas have equally many rows.

    Returns:
        `(rows, first)`: tensor `(replicas * B, ...)`, and where in it this replica's rows begin;
        `(x, 0)` where a step sees the whole batch.
    """
    replicas, index = replica()
    if replicas == 1:
        return x, 0
    import tensorflow as tf

    rows = tf.distribute.get_replica_context().all_gather(x, axis=0)
    return rows, index * tf.shape(x)[0]

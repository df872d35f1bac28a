"""A training step in every replica of TensorFlow's strategies; gradients are summed before all else.

Keras 3.15 sums them only as it updates weights: loss scaling looks at one replica, and clipping sees a
part of the batch. It compiles no step under a strategy either, because replicas cannot meet in
XLA. Here forward and backward pass are compiled, and replicas meet behind them.
"""

import keras
import tensorflow as tf


def train_step(model, data, compiled):
    """Logs of a step, in the context of a replica.

    Args:
        model: a `keras.Model` whose optimizer, a `LayerDecayAdamW` or loss scaling around one, takes
            gradients that are summed.
        data: of Keras' `train_step`, this replica's part of the batch.
        compiled: whether XLA compiles the forward and backward pass.
    """
    inputs = keras.utils.unpack_x_y_sample_weight(data)
    weights, optimizer = model.trainable_variables, model.optimizer

    def gradients(x, y, sample_weight):
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = model._compute_loss(
                x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=True
            )
            scaled = optimizer.scale_loss(loss)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        rows = tf.shape(keras.tree.flatten(x)[0])[0]
        model._loss_tracker.update_state(loss * replicas, sample_weight=rows)
        model.compute_metrics(x, y, outputs, sample_weight=sample_weight)
        # Of tables that are looked up they are sparse.
        found = tape.gradient(scaled, weights)
        return [None if g is None else tf.convert_to_tensor(g) for g in found]

    if compiled:
        gradients = tf.function(gradients, jit_compile=True, autograph=False)
    optimizer.apply(sum_over_replicas(gradients(*inputs)), weights)
    return model.get_metrics_result()


def sum_over_replicas(gradients):
    """List of gradients, each summed over the replicas; as they are where there is one."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return gradients
    known = [gradient for gradient in gradients if gradient is not None]
    summed = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, known))
    return [None if gradient is None else next(summed) for gradient in gradients]

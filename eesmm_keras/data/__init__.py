"""Images in: sources (folders, TFDS, digits), decoding, augmentation and the tf.data pipelines.

`sources` and `decoding` start with Pillow and NumPy; `pipeline` and `augmentation` load TensorFlow.
"""

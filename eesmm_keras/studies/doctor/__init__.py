"""What will happen when a run begins: a look at the images, and a trial of the training step."""

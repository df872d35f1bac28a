"""What an accelerator that is not there would do in a training step, by compiling the step for it."""

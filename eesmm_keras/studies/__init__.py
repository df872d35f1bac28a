"""Studies of runs: what one costs, what will happen in one, how methods compare."""

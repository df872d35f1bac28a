"""How good a classifier is, and in what it errs."""

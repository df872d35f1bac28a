"""How good boxes are, how they are chosen among all that a detector says, and how they are shown."""

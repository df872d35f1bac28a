"""What stands in the place of a class in rows of boxes; known without a backend."""

# A row that is no box, and a crowd, which counts nowhere.
NO_BOX, CROWD = -1, -2

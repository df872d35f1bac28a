"""Published tables and figures, run again: one YAML file each, in `published/`."""

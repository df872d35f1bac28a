"""report.html: all that a run's folder tells, in one file that needs nothing else."""

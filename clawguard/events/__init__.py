"""Events: live signals for code in the process, a hash-chained log for everybody else."""

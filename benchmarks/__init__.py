"""The budgets, measured: run as `python -m benchmarks`."""

"""Benchmarks: `python -m benchmarks` prints every table, beside the peers, in one run."""

"""Speed, side by side with plain loops over the same libraries: `python -m benchmarks`."""

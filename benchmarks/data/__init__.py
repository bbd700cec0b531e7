"""Real pools from packages, and the embedded sample: `python -m benchmarks.data --help`."""

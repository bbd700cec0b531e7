"""The projects that people use for the same work, each in an environment of its own: `python -m benchmarks.peers`."""

"""Decisions about one sample: pure predicates over columns, with a reason."""

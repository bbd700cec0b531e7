"""Decisions about one sample: pure predicates over columns."""

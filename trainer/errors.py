"""What can go wrong in training, as one small tree. Messages name the cause, the place and the remedy."""

from __future__ import annotations


class TrainError(Exception):
    """A run that cannot start or go on: the message is meant for the person who started it."""


class ConfigError(TrainError):
    """The config names something unknown or impossible; the message holds file and field."""


class DataError(TrainError):
    """Shards that are missing, unreadable or not what the config says; the message names the file."""


class BadSample(Exception):
    """One sample whose own bytes cannot be read. Counted and named by the loader, never raised out of it."""

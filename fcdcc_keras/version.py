"""The version of the package; client, scheduler and workers must agree on it."""

__version__ = "0.1.0"

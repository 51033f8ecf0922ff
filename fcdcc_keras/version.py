"""The version of the package; client, scheduler and workers must agree on it."""

__version__ = "0.1.0"
AS_BYTES = __version__.encode()
"""The same, as it is asked for: of a package that may be another version, by another
Python. Its name stays."""
VERSION = f"{__name__}:AS_BYTES"
"""By that ``pkgutil.resolve_name`` finds it."""

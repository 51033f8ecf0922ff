"""Examples, to be run from the top of a clone."""

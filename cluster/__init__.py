"""Bringing clusters up for fcdcc_keras; runs from a clone, not part of the package."""

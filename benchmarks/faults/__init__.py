"""Scripted faults on real workers, for the soak and its tests."""

"""Layers and stretches on a cluster, or in process: from an input to its output."""

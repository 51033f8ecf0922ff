"""A model's graph, read: its layers as operations, its stretches as programs."""

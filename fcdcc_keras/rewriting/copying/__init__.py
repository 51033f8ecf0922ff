"""A copy of a model: its layers made again, with their state, compiled as it is."""

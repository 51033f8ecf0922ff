"""Figures and pictures of what workers do, while they do it.

Nothing is imported here: schedulers and workers import some of it, and have neither
Keras nor, perhaps, what shows the figures.
"""

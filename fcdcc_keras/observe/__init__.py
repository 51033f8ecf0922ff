"""Observing: traces of what workers did, the report on the layers, plots of codes.

Nothing is imported here: the plots of codes need neither Keras nor TensorFlow.
"""

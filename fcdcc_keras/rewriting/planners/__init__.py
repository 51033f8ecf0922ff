"""``fk.plan``: from a Keras model and the options to a plan of it."""

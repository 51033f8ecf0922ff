"""Engines: what computes the programs that a worker is given."""

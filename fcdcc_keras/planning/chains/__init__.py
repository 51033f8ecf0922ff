"""Chains of layers in tiles: what they cost, how long they take, where to cut. Pure."""

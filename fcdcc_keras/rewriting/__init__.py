"""Rewriting: which layers can be coded, the coded copy of a model, its end."""

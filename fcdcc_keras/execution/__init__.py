"""Execution: collecting, the worker's side, and the executors."""

"""What scripts of tests begin with that load Keras in a process of their own."""

LEAN = "import sys; sys.modules.update(sklearn=None, matplotlib=None)\n"
"""Keras imports these where they are installed; without, it takes a third less time."""

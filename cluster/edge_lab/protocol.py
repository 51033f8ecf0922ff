"""What the lab and its keeper have agreed on."""

MOST_BYTES = 1 << 20
"""Longest message, either way."""
SCRATCH = "/dev/shm"
"""The devices' directory for temporary files, which goes with their namespace."""
MARK = "EDGE_LAB_NAME"
"""Environment variable with the lab's name, in each of its processes."""
OUTSIDE = -1
"""Index of the side of the network that no device is on, beside those of devices."""

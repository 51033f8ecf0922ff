"""What the lab and its keeper have agreed on."""

MOST_BYTES = 1 << 20
"""Longest message, either way."""
SCRATCH = "/dev/shm"
"""The devices' directory for temporary files, which goes with their namespace."""
MARK = "EDGE_LAB_NAME"
"""Environment variable with the lab's name, in each of its processes."""
CLIENT_SIDE = -1
"""Index of the client's side of the network, beside those of the devices."""

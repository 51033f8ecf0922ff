"""Partitioning: the input by APCP, the kernel by KCCP. NumPy only."""

from fcdcc_keras.partition.apcp import HeightPartition
from fcdcc_keras.partition.geometry import ConvGeometry
from fcdcc_keras.partition.kccp import ChannelPartition

__all__ = ["ChannelPartition", "ConvGeometry", "HeightPartition"]

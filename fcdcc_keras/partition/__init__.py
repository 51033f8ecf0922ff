"""Partitioning: the input by APCP, the kernel by KCCP. NumPy only."""

from fcdcc_keras.partition.apcp import AxisPartition
from fcdcc_keras.partition.axis import Axis
from fcdcc_keras.partition.cut import IMAGES, Cut, best_cut
from fcdcc_keras.partition.geometry import ConvGeometry
from fcdcc_keras.partition.kccp import ChannelPartition

__all__ = [
    "IMAGES",
    "Axis",
    "AxisPartition",
    "ChannelPartition",
    "ConvGeometry",
    "Cut",
    "best_cut",
]

"""Partitioning: the input by APCP, the kernel by KCCP; programs into tiles."""

from fcdcc_keras.partition.apcp import AxisPartition
from fcdcc_keras.partition.axis import Axis
from fcdcc_keras.partition.best import best_parts
from fcdcc_keras.partition.boxes import Box, SizedProgram, Tile, TileLoad
from fcdcc_keras.partition.cut import IMAGES, Cut
from fcdcc_keras.partition.geometry import ConvGeometry
from fcdcc_keras.partition.grid import Grid
from fcdcc_keras.partition.kccp import ChannelPartition
from fcdcc_keras.partition.parts import Parts

__all__ = [
    "IMAGES",
    "Axis",
    "AxisPartition",
    "Box",
    "ChannelPartition",
    "ConvGeometry",
    "Cut",
    "Grid",
    "Parts",
    "SizedProgram",
    "Tile",
    "TileLoad",
    "best_parts",
]

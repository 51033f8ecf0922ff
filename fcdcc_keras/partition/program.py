"""A convolution as the program that a worker computes: one operation."""

from __future__ import annotations

from functools import lru_cache

from fcdcc_keras import programs
from fcdcc_keras.partition.geometry import ConvGeometry, Sizes


def kernel_shape(geometry: ConvGeometry) -> Sizes:
    """Returns the shape of a kernel; ``geometry.Kind`` says of which axes it is."""
    channels, filters = geometry.channels, geometry.filters
    match geometry.kind:
        case "dense":
            return channels, filters
        case "separable":
            return (geometry.kernel_floats,)
        case "transposed":
            return (*geometry.kernel_size, filters, channels)
        case "depthwise":
            return (*geometry.kernel_size, channels, filters // channels)
    return (*geometry.kernel_size, channels // geometry.groups, filters)


@lru_cache(maxsize=1024)
def convolution_program(geometry: ConvGeometry, dtype: str) -> programs.Program:
    """Returns the program of a convolution, all its padding written out.

    Args:
        geometry: Its sizes; those of the input do not enter.
        dtype: float32 or float64.
    """
    how = geometry.strides, geometry.dilation_rate, geometry.pads
    operation: programs.Operation
    match geometry.kind:
        case "dense":
            operation = programs.Dense((0,), (0,))
        case "separable":
            size, multiplier = geometry.kernel_size, geometry.depth_multiplier
            operation = programs.Separable((0,), (0,), *how, size, multiplier)
        case "transposed":
            operation = programs.Transposed((0,), (0,), *how)
        case "depthwise":
            operation = programs.Depthwise((0,), (0,), *how)
        case _:
            operation = programs.Convolution((0,), (0,), *how)
    return programs.Program(
        channels=(geometry.channels,),
        rank=geometry.rank,
        operations=(operation,),
        weights=(kernel_shape(geometry),),
        dtype=dtype,
    )

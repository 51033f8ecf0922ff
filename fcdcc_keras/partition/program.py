"""A convolution as an operation of a program, and as a program of its own."""

from __future__ import annotations

from functools import lru_cache

from fcdcc_keras import programs
from fcdcc_keras.partition.geometry import ConvGeometry, Sizes
from fcdcc_keras.programs import Operation, Program, to_text


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


def operation_of(
    geometry: ConvGeometry, reads: int = 0, weights: tuple[int, ...] = (0,)
) -> Operation:
    """Returns a convolution, all its padding written out, as an operation.

    Args:
        geometry: The convolution's sizes.
        reads: Number of the value that it reads.
        weights: Number of the kernel, and of the bias where there is one.
    """
    where = (reads,), weights
    strides, gaps, pads = geometry.strides, geometry.dilation_rate, geometry.pads
    match geometry.kind:
        case "dense":
            return programs.Dense(*where)
        case "separable":
            size, multiplier = geometry.kernel_size, geometry.depth_multiplier
            return programs.Separable(*where, strides, gaps, pads, size, multiplier)
        case "depthwise":
            return programs.Depthwise(*where, strides, gaps, pads)
        case "transposed":
            return programs.Transposed(*where, strides, gaps, pads)
    return programs.Convolution(*where, strides, gaps, pads)


@lru_cache(maxsize=1024)
def convolution_program(geometry: ConvGeometry, dtype: str) -> Program:
    """Returns the program that convolves, without a bias.

    Args:
        geometry: The convolution's sizes; those of the input do not enter.
        dtype: float32 or float64.
    """
    return Program(
        channels=(geometry.channels,),
        rank=geometry.rank,
        operations=(operation_of(geometry),),
        weights=(kernel_shape(geometry),),
        dtype=dtype,
    )


@lru_cache(maxsize=1024)
def convolution_text(geometry: ConvGeometry, dtype: str) -> str:
    """Returns ``convolution_program`` as it is sent."""
    return to_text(convolution_program(geometry, dtype))

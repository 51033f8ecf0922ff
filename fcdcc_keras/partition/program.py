"""One convolution as an operation of a program, and as a program of its own."""

from __future__ import annotations

from fcdcc_keras import programs
from fcdcc_keras.partition.geometry import ConvGeometry
from fcdcc_keras.programs import Operation, Program


def operation_of(
    geometry: ConvGeometry, reads: int = 0, weights: tuple[int, ...] = (0,)
) -> Operation:
    """Returns a convolution, all its padding included, as an operation.

    Args:
        geometry: The convolution's sizes.
        reads: Number of the value that it reads.
        weights: Number of the kernel, laid out as ``Kind`` has it, and of the bias
            where there is one.
    """
    where = (reads,), weights
    strides, gaps, pads = geometry.strides, geometry.dilation_rate, geometry.pads
    match geometry.kind:
        case "dense":
            return programs.Dense(*where)
        case "separable":
            window, multiplier = geometry.kernel_size, geometry.depth_multiplier
            return programs.Separable(*where, strides, gaps, pads, window, multiplier)
        case "depthwise":
            return programs.Depthwise(*where, strides, gaps, pads)
        case "transposed":
            return programs.Transposed(*where, strides, gaps, pads)
    return programs.Convolution(*where, strides, gaps, pads)


def program_of(geometry: ConvGeometry, kernel: tuple[int, ...], dtype: str) -> Program:
    """Returns the program that convolves, without a bias, with one kernel.

    Args:
        geometry: The convolution's sizes; those of the input may be others.
        kernel: Shape of the kernel, of any number of filters.
        dtype: float32 or float64.
    """
    operation = operation_of(geometry)
    return Program((geometry.channels,), geometry.rank, (operation,), (kernel,), dtype)

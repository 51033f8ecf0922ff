"""A convolution as a program says of its sizes what the geometry says."""

import math

import pytest

from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_program, kernel_shape

_KINDS = {
    "conv": ConvGeometry((9, 8), 6, 4, (3, 3), (2, 1), padding="same"),
    "groups": ConvGeometry((9, 8), 6, 4, (3, 3), groups=2),
    "dilated": ConvGeometry((9, 8), 6, 4, (3, 3), dilation_rate=(2, 2)),
    "row": ConvGeometry((9,), 6, 4, (3,), (2,), padding="causal"),
    "volume": ConvGeometry((5, 4, 6), 6, 4, (3, 2, 3), padding="same"),
    "depthwise": ConvGeometry((9, 8), 6, 12, (3, 3), (2, 2), kind="depthwise"),
    "separable": ConvGeometry(
        (9, 8), 6, 4, (3, 3), kind="separable", depth_multiplier=2
    ),
    "transposed": ConvGeometry((9, 8), 6, 4, (3, 3), (2, 2), kind="transposed"),
    "turned": ConvGeometry(
        (9, 8), 6, 4, (3, 3), dilation_rate=(2, 2), kind="transposed", padding="same"
    ),
    "dense": ConvGeometry((9,), 6, 4, (1,), kind="dense"),
}


@pytest.mark.parametrize("name", _KINDS)
def test_a_program_has_the_sizes_of_its_geometry(name: str) -> None:
    geometry = _KINDS[name]
    program = convolution_program(geometry, "float64")
    given = (3, *geometry.input_size, geometry.channels)
    assert program.shapes([given])[-1] == (3, *geometry.output_size, geometry.filters)
    assert program.multiply_adds([given]) == 3 * geometry.multiply_adds
    assert math.prod(kernel_shape(geometry)) == geometry.kernel_floats
    assert program.dtype == "float64"

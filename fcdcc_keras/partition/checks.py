"""Which sizes make a convolution: what ``ConvGeometry`` checks itself by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fcdcc_keras.errors import PlanError

if TYPE_CHECKING:
    from fcdcc_keras.partition.geometry import ConvGeometry

KINDS = ("conv", "depthwise", "separable", "transposed", "dense")
_NUMBERS = {1: "one integer", 2: "two integers", 3: "three integers"}


def check_geometry(geometry: ConvGeometry) -> None:
    """Checks a geometry, and makes its numbers Python's own.

    Raises:
        PlanError: There is no such convolution.
    """
    if geometry.kind not in KINDS:
        raise PlanError(
            f"`kind` must be one of {KINDS}. Received: kind={geometry.kind!r}. Choose "
            "one of them."
        )
    _check_lengths(geometry)
    for field in ("channels", "filters", "groups", "depth_multiplier"):
        if not _is_size(getattr(geometry, field)):
            raise PlanError(
                f"`{field}` must be an integer of at least 1. Received: "
                f"{field}={getattr(geometry, field)!r}. Give a positive number."
            )
    _check_channels(geometry)
    _check_padding(geometry)
    if min(geometry.output_size) < 1:
        raise PlanError(
            "The input must be at least as large as the dilated kernel. "
            f"Received: input_size={geometry.input_size}, dilated kernel "
            f"{geometry.dilated_kernel}, padding={geometry.padding!r}. Use larger "
            "inputs or padding='same'."
        )


def _check_lengths(geometry: ConvGeometry) -> None:
    rank = len(geometry.kernel_size) if isinstance(geometry.kernel_size, tuple) else 0
    for field in ("input_size", "kernel_size", "strides", "dilation_rate"):
        sizes = getattr(geometry, field)
        good = isinstance(sizes, tuple) and len(sizes) == rank in _NUMBERS
        if not good or not all(map(_is_size, sizes)):
            raise PlanError(
                f"`{field}` must be {_NUMBERS.get(rank, 'one to three integers')} of "
                f"at least 1. Received: {field}={sizes!r}, with kernel_size="
                f"{geometry.kernel_size!r}. Give one length for each dimension."
            )
        object.__setattr__(geometry, field, tuple(int(n) for n in sizes))


def _check_channels(geometry: ConvGeometry) -> None:
    channels, filters = geometry.channels, geometry.filters
    parts = channels if geometry.kind == "depthwise" else geometry.groups
    if channels % parts or filters % parts:
        raise PlanError(
            "Channels and filters must divide into the groups of a convolution. "
            f"Received: channels={channels}, filters={filters}, {parts} groups. "
            "Choose multiples."
        )


def _check_padding(geometry: ConvGeometry) -> None:
    padding = geometry.padding
    names = ("valid", "same") if geometry.rank > 1 else ("valid", "same", "causal")
    if padding in names or _is_padding(padding, geometry):
        return
    raise PlanError(
        f"`padding` must be {' or '.join(map(repr, names))}, or the zeros before and "
        f"after each dimension as pairs. Received: padding={padding!r}. Choose one of "
        "these."
    )


def _is_padding(value: object, geometry: ConvGeometry) -> bool:
    negative = geometry.kind == "transposed"  # rows are appended, not cropped
    return (
        isinstance(value, tuple)
        and len(value) == geometry.rank
        and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)
        and all(isinstance(n, int) and (n >= 0 or negative) for p in value for n in p)
    )


def _is_size(value: object) -> bool:
    # NumPy's integers are sizes too; True is an integer, but no size.
    return isinstance(value, int | np.integer) and value is not True and int(value) > 0

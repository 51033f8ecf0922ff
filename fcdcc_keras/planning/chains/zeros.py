"""How much of a value is sent when its zeros are left out. Pure."""

from __future__ import annotations

from typing import TypeGuard

from fcdcc_keras.programs import (
    Activation,
    AveragePool,
    Crop,
    MaxPool,
    Merge,
    Operation,
    Program,
    Reshape,
    ZeroPad,
)

_ZEROS = 0.4
"""Zeros that a ReLU yields, as part of all numbers: half where what it reads is as
often negative as positive, fewer behind a largest of several, more in networks that
were trained. With random weights VGG16 has 0.42 behind its third and fourth pooling,
ResNet50 0.5 behind the first block of each part, and 0.2 behind the others."""
_BIT = 1 / 32
"""Of each number, that says whether it is zero, as part of its own bits."""
SPARED = _ZEROS - _BIT
"""Of a value's bytes, those that are not sent."""
_KEEPING = (MaxPool, Crop, ZeroPad, Reshape)
"""What yields zeros where it reads them."""


def part_sent(program: Program, value: int) -> float:
    """Returns the expected bytes that are sent of a value, as part of its own.

    Args:
        program: Where it stands.
        value: Its number, from 0, the program's input.
    """
    one = _made_by(program, value)
    if not _cuts_off(one):
        return 1.0
    read = _made_by(program, one.reads[0])
    if isinstance(read, Merge) and any(
        _cuts_off(_made_by(program, each)) for each in read.reads
    ):
        return 1.0  # to what is never negative a sum adds: few of them are
    return 1 - SPARED


def _made_by(program: Program, value: int) -> Operation | None:
    """Returns the operation whose zeros a value has, or None: the input's."""
    first = len(program.channels)
    while value >= first:
        one = program.operations[value - first]
        if not isinstance(one, _KEEPING) or isinstance(one, AveragePool):
            return one
        value = one.reads[0]
    return None


def _cuts_off(one: Operation | None) -> TypeGuard[Activation]:
    """Returns whether an operation yields zero for whatever is negative."""
    if not isinstance(one, Activation) or one.function not in ("relu", "relu6"):
        return False
    return not one.settings.get("negative_slope")

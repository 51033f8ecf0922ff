"""Programs as JSON text and bytes, and back, trusting nothing of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import lru_cache
from typing import Any

import numpy as np

from fcdcc_keras.checks import json_value
from fcdcc_keras.errors import PlanError
from fcdcc_keras.programs import convolutions, elementwise, spatial
from fcdcc_keras.programs.operation import Operation, brief, is_integer
from fcdcc_keras.programs.program import DTYPES, VERSION, Program

KINDS: dict[str, type[Operation]] = {
    operation.kind: operation
    for operation in (
        convolutions.Convolution,
        convolutions.Depthwise,
        convolutions.Separable,
        convolutions.Transposed,
        convolutions.Dense,
        spatial.MaxPool,
        spatial.AveragePool,
        spatial.GlobalMaxPool,
        spatial.GlobalAveragePool,
        spatial.ZeroPad,
        spatial.Crop,
        spatial.Upsample,
        spatial.Reshape,
        elementwise.Activation,
        elementwise.Bias,
        elementwise.Scale,
        elementwise.PReLU,
        elementwise.BatchNormalization,
        elementwise.Normalization,
        elementwise.Rescaling,
        elementwise.Merge,
        elementwise.Concatenate,
    )
}
"""All operations, by the names that they have in a message."""
_LONGEST_TEXT = 2**20
"""Bytes of JSON; what is read of it may take thirty times as many. A network of a
thousand operations has a quarter of this."""
_FIELDS = {"version", "dtype", "rank", "channels", "weights", "operations"}


@lru_cache(maxsize=256)
def to_text(program: Program) -> str:
    """Returns a program as JSON text, its weights' shapes without the arrays."""
    return json.dumps(
        {
            "version": VERSION,
            "dtype": program.dtype,
            "rank": program.rank,
            "channels": program.channels,
            "weights": program.weights,
            "operations": [_to_dict(operation) for operation in program.operations],
        },
        allow_nan=False,
        separators=(",", ":"),
    )


def to_wire(program: Program, arrays: Sequence[np.ndarray]) -> tuple[str, list[bytes]]:
    """Returns a program and its weights as JSON text and little-endian bytes.

    Raises:
        PlanError: They are not its weights.
    """
    program.check_weights(arrays)
    text = to_text(program)
    kept = np.dtype(program.dtype).newbyteorder("<")
    return text, [np.ascontiguousarray(array, kept).tobytes() for array in arrays]


def from_wire(
    text: str | bytes, buffers: Sequence[Any], limit: int
) -> tuple[Program, list[np.ndarray]]:
    """Returns the program that ``to_wire`` wrote, and its weights.

    Args:
        text: The JSON text.
        buffers: Bytes of each weight; the arrays have the same memory, read-only where
            that is.
        limit: Bytes that text and weights may have together.

    Raises:
        PlanError: Anything about it is not as it must be.
    """
    size = len(text) + sum(memoryview(buffer).nbytes for buffer in buffers)
    if size > limit:
        raise PlanError(
            f"A program must have at most {limit} bytes. Received: {size} bytes, "
            f"{len(text)} of them text. Cut the model into more chains, or raise the "
            "limit."
        )
    program = from_text(text)
    if len(buffers) != len(program.weights):
        raise PlanError(
            f"A program must come with all its {len(program.weights)} weights. "
            f"Received: {len(buffers)}. Send it again."
        )
    kept = np.dtype(program.dtype).newbyteorder("<")
    arrays = []
    for number, (shape, buffer) in enumerate(
        zip(program.weights, buffers, strict=True)
    ):
        wanted = math.prod(shape) * kept.itemsize
        if memoryview(buffer).nbytes != wanted:
            raise PlanError(
                f"Weight {number} of a program, of shape {brief(shape)}, must have "
                f"{brief(wanted)} bytes. Received: {memoryview(buffer).nbytes}. "
                "Send it again."
            )
        array = np.frombuffer(buffer, kept).reshape(shape)
        arrays.append(array.astype(program.dtype, copy=False))
    return program, arrays


def from_text(text: str | bytes) -> Program:
    """Returns the program that ``to_text`` wrote.

    Raises:
        PlanError: Anything about it is not as it must be.
    """
    if len(text) > _LONGEST_TEXT:
        raise PlanError(
            f"A program must have at most {_LONGEST_TEXT} bytes of text. Received: "
            f"{len(text)}. Cut the model into more chains."
        )
    return _program(_json(text))


def _json(text: str | bytes) -> dict[str, Any]:
    try:
        data = json_value(text if isinstance(text, str) else text.decode("utf-8"))
    except ValueError as error:  # of UTF-8, too
        raise _unreadable("be JSON", str(error)[:80]) from None
    if not isinstance(data, dict):
        raise _unreadable("be a JSON object", brief(data))
    version = data.get("version")
    if not isinstance(version, int) or not is_integer(version, 1):
        raise _unreadable("name its version, a number", brief(version))
    if version > VERSION:
        raise PlanError(
            f"A program must be of version {VERSION} or before. Received: version "
            f"{version}. Install the same version of fcdcc_keras on all machines."
        )
    if set(data) != _FIELDS:
        raise _unreadable(f"have the fields {sorted(_FIELDS)}", brief(list(data)))
    return data


def _program(data: dict[str, Any]) -> Program:
    for name in ("channels", "weights", "operations"):
        if not isinstance(data[name], list):
            raise _unreadable(f"have a list of {name}", brief(data[name]))
    if not all(isinstance(shape, list) for shape in data["weights"]):
        raise _unreadable("have a list of shapes", brief(data["weights"]))
    if data["dtype"] not in DTYPES:
        raise _unreadable("be of dtype float32 or float64", brief(data["dtype"]))
    return Program(
        channels=tuple(data["channels"]),
        rank=data["rank"],
        operations=tuple(map(_operation, data["operations"])),
        weights=tuple(map(tuple, data["weights"])),
        dtype=data["dtype"],
    )


def _to_dict(operation: Operation) -> dict[str, Any]:
    values = {field.name: getattr(operation, field.name) for field in fields(operation)}
    return {"kind": operation.kind, **values}


def _operation(data: object) -> Operation:
    if not isinstance(data, dict):
        raise _unreadable("have operations that are objects", brief(data))
    kind = data.get("kind")
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise _unreadable(f"have operations of {sorted(KINDS)}", f"kind={brief(kind)}")
    given = {name: value for name, value in data.items() if name != "kind"}
    names = {field.name for field in fields(known)}
    needed = {field.name for field in fields(known) if field.default is MISSING}
    if not needed <= set(given) <= names:
        raise _unreadable(
            f"give a {kind} parameters of {sorted(names)}", brief(sorted(given))
        )
    return known(**given)


def _unreadable(rule: str, received: str) -> PlanError:
    return PlanError(
        f"A program that arrives must {rule}. Received: {received}. Send it again, "
        "from the same version of fcdcc_keras."
    )

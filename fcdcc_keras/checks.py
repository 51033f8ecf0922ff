"""Checks of what users pass and what files hold: each fails as an error of our own."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from fcdcc_keras.errors import FcdccError, PlanError

_Record = TypeVar("_Record")


def is_number(value: object, least: float = -math.inf) -> bool:
    """Returns whether a value is a number, not NaN, and no less than another."""
    # Not "int | float": NumPy's numbers are welcome, but truth values are not.
    if isinstance(value, bool | str | bytes):
        return False
    try:
        return bool(float(value) >= least)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def check_integer(name: str, value: object, *, least: int) -> None:
    """Checks an argument that counts something.

    Raises:
        PlanError: It is no integer, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PlanError(
            f"`{name}` must be an integer of at least {least}. Received: "
            f"{name}={value!r}. Give for example {least + 1}."
        )


def check_type(name: str, value: object, kind: type, advice: str) -> None:
    """Checks an argument that is an object of this package.

    Raises:
        PlanError: It is of another type.
    """
    if not isinstance(value, kind):
        raise PlanError(
            f"`{name}` must be a {kind.__name__}. Received: {name}={value!r}. {advice}"
        )


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Checks an argument that is one of a few words.

    Raises:
        PlanError: It is none of them.
    """
    if value not in allowed:
        raise PlanError(
            f"`{name}` must be one of {allowed}. Received: {name}={value!r}. Choose "
            "one of them."
        )


def check_output(path: str | Path) -> None:
    """Checks that a file can be written, before the time that its content takes.

    Raises:
        FcdccError: There is no such folder, or it may not be written to.
    """
    folder = Path(path).absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise FcdccError(
            "A file must be written to a folder that is there and may be written to. "
            f"Received: {str(path)!r}. Make the folder first."
        )


def json_value(text: str) -> Any:
    """Returns the value of a JSON text.

    Raises:
        ValueError: It is none, or nests too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error


def record(kind: type[_Record], data: object) -> _Record:
    """Returns a dataclass of numbers and names whose fields were read from a file.

    Args:
        kind: Its class. Integers count something and floats measure it: neither are
            negative.
        data: Value of each field.

    Raises:
        PlanError: A field is missing, unknown or of another type.
    """
    if not isinstance(data, Mapping):
        raise _not_a(kind, repr(data)[:80])
    types = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in types or not _fits(types[name], value):
            raise _not_a(kind, f"{name}={value!r}"[:80])
        values[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**values)
    except TypeError as error:
        raise _not_a(kind, str(error)) from error


def _fits(kind: str, value: object) -> bool:
    if kind == "str":
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return type(value) is int and value >= 0
    if kind == "float":
        return is_number(value, least=0)
    assert kind in ("tuple[int, ...]", "tuple[float, ...]"), kind
    of = "int" if "int" in kind else "float"
    return isinstance(value, list | tuple) and all(_fits(of, v) for v in value)


def _not_a(kind: type, received: str) -> PlanError:
    return PlanError(
        f"A {kind.__name__} must be what `to_dict` writes. Received: {received}. "
        "Write the file again."
    )

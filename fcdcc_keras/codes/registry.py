"""Codes by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.chebyshev import Chebyshev
from fcdcc_keras.codes.crme import CRME
from fcdcc_keras.codes.khatri_rao import KhatriRao
from fcdcc_keras.codes.quaternion import Quaternion
from fcdcc_keras.codes.replication import Replication
from fcdcc_keras.codes.rotation import Rotation
from fcdcc_keras.codes.systematic import Systematic
from fcdcc_keras.codes.uncoded import Uncoded
from fcdcc_keras.codes.vandermonde import Vandermonde
from fcdcc_keras.errors import PlanError

_CODES: dict[str, type[Code]] = {
    code.name: code
    for code in (
        CRME,
        Quaternion,
        Rotation,
        Systematic,
        KhatriRao,
        Chebyshev,
        Vandermonde,
        Uncoded,
        Replication,
    )
}


def names() -> tuple[str, ...]:
    """Returns the names of all codes."""
    return tuple(_CODES)


def get(name: str) -> type[Code]:
    """Returns the class of a code.

    Args:
        name: One of ``names()``.

    Raises:
        PlanError: There is no code of that name.
    """
    try:
        return _CODES[name]
    except (KeyError, TypeError):
        raise PlanError(
            f"The code must be one of {', '.join(map(repr, _CODES))}. "
            f"Received: {name!r}. Choose one of these names."
        ) from None


def from_dict(data: Mapping[str, Any]) -> Code:
    """Returns the code that ``Code.to_dict`` described.

    Raises:
        PlanError: The name or a parameter is unknown or breaks the code's rules.
    """
    options = dict(data)
    family = get(options.pop("name", None))
    try:
        return family(**options)
    except TypeError as error:
        raise PlanError(
            f"The parameters must be those of the code {family.name!r}. "
            f"Received: {options}. Compare with what `to_dict` writes ({error})."
        ) from None

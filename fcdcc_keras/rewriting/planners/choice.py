"""The option ``layers``: which of a model's layers it means."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fcdcc_keras.errors import PlanError, UnsupportedLayerError
from fcdcc_keras.rewriting.eligibility import Eligibility
from fcdcc_keras.rewriting.options import Layers


def choose(
    examined: Sequence[Eligibility], layers: Layers, *, dense: bool
) -> list[Eligibility]:
    """Returns the layers that are to be coded.

    Args:
        examined: The model's layers.
        layers: As ``Options`` has it.
        dense: Whether ``Dense`` layers need not be named.

    Raises:
        PlanError: There is no layer of a name, or ``layers`` is of another type.
        UnsupportedLayerError: A layer that was named cannot be coded.
    """
    eligible = [one for one in examined if one.geometry is not None]
    wanted = [one for one in eligible if dense or not one.on_request]
    if layers == "all":
        return wanted
    if callable(layers):
        return [one for one in wanted if layers(one.layer)]
    names = [layers] if isinstance(layers, str) else layers
    if not isinstance(names, Collection):
        raise PlanError(
            "`layers` must be 'all', names of the model's layers, or a "
            f"function. Received: layers={layers!r}. Give for example ['conv1']."
        )
    chosen: set[str] = set()
    for name in names:
        named = [one for one in examined if _has_name(one, name)]
        if not named:
            known = ", ".join(one.path for one in eligible)
            raise PlanError(
                "`layers` must be 'all', names of the model's layers, or a "
                f"function. Received: {name!r}. The layers that can be coded are: "
                f"{known}."
            )
        for one in named:
            if one.geometry is None:
                raise UnsupportedLayerError(
                    "A layer that is named must be one that can be coded. Received: "
                    f"{one.path!r}, but {one.reason}. Leave it out of `layers`."
                )
            chosen.add(one.path)
    return [one for one in eligible if one.path in chosen]


def is_named(one: Eligibility, layers: Layers) -> bool:
    """Returns whether a layer was asked for by its name."""
    if callable(layers):
        return False
    return any(
        _has_name(one, name)
        for name in ([layers] if isinstance(layers, str) else layers)
    )


def _has_name(one: Eligibility, name: str) -> bool:
    return name in (one.path, one.path.rpartition("/")[2])

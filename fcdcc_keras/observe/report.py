"""``fk.report``: every layer of a coded model, converted or not, and why not."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from fcdcc_keras.codes import Code
from fcdcc_keras.execution.sized_at_call import SizedAtCall
from fcdcc_keras.layers import CodedLayer
from fcdcc_keras.rewriting.distribute import sessions
from fcdcc_keras.rewriting.eligibility import (
    NO_CONVOLUTION,
    ON_REQUEST,
    has_convolution,
    is_dense,
    quantized,
)
from fcdcc_keras.rewriting.walk import is_graph, walk
from fcdcc_keras.text import table


@dataclass(frozen=True)
class LayerReport:
    """What became of one layer."""

    path: str
    """Name of the layer, after the names of the models it stands in, by "/"."""
    kind: str
    """Class of the layer."""
    converted: bool
    detail: str
    """The code and its split, or why the layer was not converted."""


@dataclass(frozen=True)
class Report:
    """What became of every layer of a model; ``print`` shows it as a table."""

    layers: tuple[LayerReport, ...]
    too_few: int | None = None
    """Workers that are left, where a layer needs more."""

    @property
    def converted(self) -> tuple[str, ...]:
        """Paths of the coded layers."""
        return tuple(layer.path for layer in self.layers if layer.converted)

    @property
    def not_converted(self) -> dict[str, str]:
        """The reason for each layer that is not coded, by path."""
        return {
            layer.path: layer.detail for layer in self.layers if not layer.converted
        }

    def __str__(self) -> str:
        title = f"{len(self.converted)} of {len(self.layers)} layers are coded"
        if self.too_few is not None:
            title += f"; {self.too_few} workers are left, fewer than needed"
        return table(
            title,
            ["layer", "class", "coded", "how, or why not"],
            [
                (
                    layer.path,
                    layer.kind,
                    "yes" if layer.converted else "no",
                    layer.detail,
                )
                for layer in self.layers
            ],
            right=(),
        )


def report(model: keras.Model) -> Report:
    """Returns what became of every layer of a model that was distributed.

    Args:
        model: What ``distribute`` returned.

    Raises:
        PlanError: The model has no coded layer.
    """
    held = sessions(model)
    reasons = {p: why for session in held for p, why in session.not_coded}
    layers = [
        _describe(path, layer, reasons)
        for path, layer in walk(model)
        if not is_graph(layer) and not isinstance(layer, keras.layers.InputLayer)
    ]
    here = {layer.path for layer in layers}
    gone = [
        LayerReport(p, "", False, why) for p, why in reasons.items() if p not in here
    ]
    short = [left for s in held if (left := s.too_few()) is not None]
    return Report((*layers, *gone), min(short, default=None))


def _describe(
    path: str, layer: keras.layers.Layer, reasons: dict[str, str]
) -> LayerReport:
    kind = type(layer).__name__
    if is_dense(layer) and quantized(layer):
        return LayerReport(path, kind, False, quantized(layer))
    if not isinstance(layer, CodedLayer):
        unknown = "the model that was distributed has no layer of its own here"
        if has_convolution(layer):
            why = reasons.get(path, unknown)
        else:
            why = ON_REQUEST if is_dense(layer) else NO_CONVOLUTION
        return LayerReport(path, kind, False, why)
    if not layer.attached or layer.coded is None:
        why = reasons.get(path, "it is not attached to a cluster")
        return LayerReport(path, kind, False, why)
    if isinstance(layer.coded, SizedAtCall):
        known = "; ".join(_how(plan.code) for plan in layer.coded.plans)
        detail = f"planned at the first call for each height and width: {known or '-'}"
        return LayerReport(path, kind, True, detail)
    return LayerReport(path, kind, True, _how(layer.coded.plan.code))


def _how(code: Code) -> str:
    return (
        f"{code.name}, (k_A, k_B) = ({code.k_a}, {code.k_b}), any "
        f"{code.recovery_threshold} of {code.workers} workers suffice"
    )

"""``fk.report``: every layer of a coded model, converted or not, and why not."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from fcdcc_keras.codes import Code
from fcdcc_keras.execution.forward.sized_at_call import SizedAtCall
from fcdcc_keras.layers import CodedLayer
from fcdcc_keras.markup import Block, Table, as_html, as_text
from fcdcc_keras.planning.chains.plan import ChainPlan
from fcdcc_keras.rewriting.chains import chained_graphs
from fcdcc_keras.rewriting.distribute import sessions
from fcdcc_keras.rewriting.eligibility import (
    NO_CONVOLUTION,
    ON_REQUEST,
    has_convolution,
    is_dense,
    quantized,
)
from fcdcc_keras.rewriting.walk import is_graph, walk
from fcdcc_keras.text import bytes_text


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
class ChainReport:
    """A chain of layers, and who computes it."""

    layers: tuple[str, ...]
    """Paths of its layers, in order; of operators, too."""
    plan: ChainPlan
    """How it was planned: its place, its tiles, its bytes."""

    @property
    def on_workers(self) -> bool:
        """Whether workers compute it."""
        return self.plan.place == "workers"

    def __str__(self) -> str:
        """Returns who computes it, and how."""
        if not self.on_workers:
            return f"the client's engine computes the chain to {self.plan.to}"
        tiles = "×".join(map(str, self.plan.tiles))
        parts = f" in {tiles} tiles" if tiles else " in tiles"
        redundancy = "hedged" if self.plan.hedged else "eager"
        text = f"the workers compute the chain to {self.plan.to}{parts}, {redundancy}"
        if self.plan.exchange:
            text += ", keep what it yields and exchange halos of it"
        return text


@dataclass(frozen=True)
class Report:
    """What became of every layer of a model; ``print`` shows it as a table."""

    layers: tuple[LayerReport, ...]
    too_few: int | None = None
    """Workers that are left, where a layer needs more."""
    chains: tuple[ChainReport, ...] = ()
    """The chains that stretches of the model are computed as, in order."""

    @property
    def converted(self) -> tuple[str, ...]:
        """Paths of the layers that workers compute."""
        return tuple(layer.path for layer in self.layers if layer.converted)

    @property
    def not_converted(self) -> dict[str, str]:
        """The reason for each layer that they do not compute, by path."""
        return {
            layer.path: layer.detail for layer in self.layers if not layer.converted
        }

    def __str__(self) -> str:
        return as_text(self._blocks())

    def _repr_html_(self) -> str:
        return as_html(self._blocks())

    def _blocks(self) -> list[Block]:
        how = "computed by workers" if self.chains else "coded"
        title = f"{len(self.converted)} of {len(self.layers)} layers are {how}"
        if self.too_few is not None:
            title += f"; {self.too_few} workers are left, fewer than needed"
        layers = Table(
            title,
            [
                "layer",
                "class",
                "by workers" if self.chains else "coded",
                "how, or why not",
            ],
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
        return [layers, self._chains()] if self.chains else [layers]

    def _chains(self) -> Table:
        rows, kept = [], False
        for chain in self.chains:
            plan, place = chain.plan, chain.plan.place
            tiles = "×".join(map(str, plan.tiles)) or "-"
            up = f"halos, {_sent(plan.exchanged)}" if kept else _sent(plan.upload)
            down = "kept" if plan.exchange else _sent(plan.download)
            sizes = tiles, up, down, _sent(plan.held)
            first, *_ = chain.layers
            rows.append((first, plan.to, str(len(chain.layers)), place, *sizes))
            kept = plan.exchange
        columns = ["from", "to", "layers", "computed by", "tiles"]
        columns += ["up", "down", "held by each"]
        names = "from", "to", "computed by"
        right = [column for column in columns if column not in names]
        return Table("chains", columns, rows, right)


def _sent(nbytes: int) -> str:
    """Returns how much is sent; a plan that nobody's search has made does not know."""
    return bytes_text(nbytes) if nbytes else "-"


def report(model: keras.Model) -> Report:
    """Returns what became of every layer of a model that was distributed.

    Args:
        model: What ``distribute`` returned.

    Raises:
        PlanError: The model has no coded layer.
    """
    held = sessions(model)
    reasons = {p: why for session in held for p, why in session.not_coded}
    chains = _chains(model)
    told = {path: chain for chain in chains for path in chain.layers}
    layers = [
        _describe(path, layer, reasons, told.get(path))
        for path, layer in walk(model)
        if not is_graph(layer) and not isinstance(layer, keras.layers.InputLayer)
    ]
    here = {layer.path for layer in layers}
    gone = [
        LayerReport(p, "", False, why) for p, why in reasons.items() if p not in here
    ]
    short = [left for s in held if (left := s.too_few()) is not None]
    return Report((*layers, *gone), min(short, default=None), tuple(chains))


def _chains(model: keras.Model) -> list[ChainReport]:
    chains = []
    for graph in chained_graphs(model):
        for stretch in graph.stretches:
            for plan in () if stretch.compute is None else stretch.compute.plans:
                layers, first = stretch.source.layers, 0
                for chain in plan.chains:
                    end = layers.index(chain.to) + 1
                    chains.append(ChainReport(layers[first:end], chain))
                    first = end
    return chains


def _describe(
    path: str,
    layer: keras.layers.Layer,
    reasons: dict[str, str],
    chain: ChainReport | None,
) -> LayerReport:
    kind = type(layer).__name__
    if chain is not None:
        return LayerReport(path, kind, chain.on_workers, str(chain))
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

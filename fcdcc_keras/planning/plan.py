"""Plans: what is coded, how, and at what cost. Frozen, printable, JSON-ready."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fcdcc_keras.checks import is_number, json_value, record
from fcdcc_keras.errors import PlanError
from fcdcc_keras.markup import Block, as_html, as_text
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import stragglers as straggler_models
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.chains.plan import StretchPlan
from fcdcc_keras.planning.chains.table import chain_table, latency_line, worth
from fcdcc_keras.planning.layer_plan import (
    LayerPlan,
    held,
    is_a,
    layer_table,
    not_a_plan,
    optional,
)
from fcdcc_keras.planning.objective import Objective
from fcdcc_keras.planning.prediction import Alone, ClientWork, Latency, model_latency
from fcdcc_keras.planning.redundancy import check_redundancy
from fcdcc_keras.planning.stragglers import Straggling
from fcdcc_keras.planning.waiting import Waiting
from fcdcc_keras.text import bytes_text

_FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """What ``distribute`` would do with a model."""

    model: str
    """Name of the model."""
    workers: int
    """n."""
    stragglers: int
    """γ asked for; a layer's own code may tolerate more."""
    layers: tuple[LayerPlan, ...]
    """The layers to code, in the model's order."""
    not_coded: tuple[tuple[str, str], ...] = ()
    """(path, reason) of each convolution that stays as it is."""
    calibration: Calibration | None = None
    """What the plan was made by, where it was measured."""
    at_call: tuple[tuple[str, ConvGeometry], ...] = ()
    """(path, geometry) of each layer whose height and width are not fixed: it is
    planned at the first call for each size, and those in the geometry do not count."""
    latency: Latency | None = None
    """Predicted for a whole pass; None where nothing is known of the cluster."""
    straggling: Straggling | None = None
    """What the latencies suppose of stragglers; None: there are none."""
    client: ClientWork | None = None
    """What the client computes itself by Keras, where latencies are predicted."""
    stretches: tuple[StretchPlan, ...] = ()
    """Parts of the model that are computed as chains; none of their layers is among
    ``layers`` or ``not_coded``."""
    stretches_at_call: tuple[tuple[str, str], ...] = ()
    """(graph, entry) of each such part whose height and width are not fixed."""
    alone: Alone | None = None
    """Predicted for the client without any worker."""
    images_per_second: float | None = None
    """Predicted where many images are given at once, for "throughput"."""
    made_by: Mapping[str, Any] | None = field(default=None, compare=False)
    """Other options that it was made by, as JSON has them; None: it does not say."""

    def __post_init__(self) -> None:
        check_redundancy(self.workers, self.stragglers)
        for layer in self.layers:
            code = layer.code
            if code.workers != self.workers or code.stragglers < self.stragglers:
                raise PlanError(
                    "Every layer of a plan must be coded for the plan's workers and "
                    f"stragglers. Received: layer {layer.path!r} with {code}, "
                    f"workers={self.workers}, stragglers={self.stragglers}. Plan "
                    "the model again for these numbers."
                )

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of all layers to code, those planned at their calls last."""
        return (*(layer.path for layer in self.layers), *(p for p, _ in self.at_call))

    @property
    def pays(self) -> bool:
        """Whether anything is computed otherwise than by Keras as it was."""
        return bool(self.paths or self.stretches or self.stretches_at_call)

    @property
    def uses_workers(self) -> bool:
        """Whether workers compute anything, or may do so at a call."""
        chains = (chain for stretch in self.stretches for chain in stretch.chains)
        return bool(self.paths or self.stretches_at_call) or any(
            chain.place == "workers" for chain in chains
        )

    def layer(self, path: str) -> LayerPlan | None:
        """Returns the plan of one layer, or None where it is not coded."""
        return next((layer for layer in self.layers if layer.path == path), None)

    def to_json(self, path: str | Path | None = None) -> str:
        """Returns the plan as JSON, and writes it to a file if a path is given.

        Raises:
            PlanError: There can be no such file.
        """
        data = {
            "format": _FORMAT,
            "model": self.model,
            "workers": self.workers,
            "stragglers": self.stragglers,
            "layers": [layer.to_dict() for layer in self.layers],
            "not_coded": [list(pair) for pair in self.not_coded],
            "at_call": [[path, asdict(geometry)] for path, geometry in self.at_call],
        }
        if self.stretches:
            data["stretches"] = [stretch.to_dict() for stretch in self.stretches]
        if self.stretches_at_call:
            data["stretches_at_call"] = [list(pair) for pair in self.stretches_at_call]
        if self.images_per_second is not None:
            data["images_per_second"] = self.images_per_second
        for name in ("calibration", "latency", "straggling", "alone"):
            value = getattr(self, name)
            if value is not None:
                data[name] = value.to_dict()
        if self.client is not None:
            data["client"] = asdict(self.client)
        if self.made_by is not None:
            data["made_by"] = dict(self.made_by)
        text = json.dumps(data, indent=1)
        if path is not None:
            try:
                Path(path).write_text(text + "\n", encoding="utf-8")
            except OSError as error:
                raise PlanError(
                    "A plan must be written to a file that may be written. Received: "
                    f"{str(path)!r}: {error}. Choose another."
                ) from error
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> Plan:
        """Returns the plan in a JSON text, or in the file at a path.

        Raises:
            PlanError: The text is not that of a plan, or there is no such file.
        """
        is_text = isinstance(source, str) and source.lstrip().startswith("{")
        try:
            text = str(source) if is_text else Path(source).read_text("utf-8")
            data = json_value(text)
            if data["format"] is True or data["format"] != _FORMAT:
                raise KeyError("format")
            not_coded = is_a(list, data["not_coded"])
            at_call = is_a(list, data.get("at_call", []))
            later = is_a(list, data.get("stretches_at_call", []))
            stretches = is_a(list, data.get("stretches", []))
            rate = data.get("images_per_second")
            if not (rate is None or is_number(rate, least=0)):
                raise TypeError("images_per_second")
            return cls(
                model=is_a(str, data["model"]),
                workers=data["workers"],
                stragglers=data["stragglers"],
                layers=tuple(
                    LayerPlan.from_dict(d) for d in is_a(list, data["layers"])
                ),
                not_coded=tuple(
                    (is_a(str, path), is_a(str, why)) for path, why in not_coded
                ),
                calibration=optional(Calibration.from_dict, data.get("calibration")),
                at_call=tuple((is_a(str, p), ConvGeometry(**g)) for p, g in at_call),
                latency=optional(Latency.from_dict, data.get("latency")),
                straggling=optional(straggler_models.from_dict, data.get("straggling")),
                client=optional(partial(record, ClientWork), data.get("client")),
                stretches=tuple(map(StretchPlan.from_dict, stretches)),
                stretches_at_call=tuple(
                    (is_a(str, graph), is_a(str, entry)) for graph, entry in later
                ),
                alone=optional(Alone.from_dict, data.get("alone")),
                images_per_second=rate,
                made_by=optional(partial(is_a, dict), data.get("made_by")),
            )
        except PlanError:
            raise
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise not_a_plan(source, is_text) from error

    def __str__(self) -> str:
        return as_text(_blocks(self))

    def _repr_html_(self) -> str:
        return as_html(_blocks(self))


def plan_latency(
    layers: Sequence[LayerPlan],
    objective: Objective,
    client: ClientWork,
    chains: Sequence[tuple[Latency, Waiting]] = (),
    beside: float = 0.0,
) -> Latency:
    """Returns the latency of a pass of a model.

    Args:
        layers: Planned by the objective, which has a calibration.
        objective: What latencies are predicted by.
        client: What the client computes itself by Keras.
        chains: Of each chain that workers compute, its latency and the law of it.
        beside: Seconds of all other chains, and of what there is between.
    """
    assert objective.calibration is not None
    laws = [
        objective.wait(layer.geometry, layer.code, 4, layer.hedged) for layer in layers
    ]
    return model_latency(
        [
            *(layer.latency for layer in layers if layer.latency is not None),
            *(latency for latency, _ in chains),
        ],
        [*laws, *(law for _, law in chains)],
        client.seconds(objective.calibration) + beside,
        lasting=objective.straggling.lasting,
    )


def _blocks(plan: Plan) -> list[Block]:
    """Returns the plan as tables, costs for one image, and what is to be said."""
    title = f"{plan.model}: {plan.workers} workers, {plan.stragglers} may be missing"
    blocks: list[Block] = []
    if plan.stretches:
        blocks.append(chain_table(title, plan.stretches))
    timed = plan.latency is not None
    if plan.layers or not plan.stretches:
        blocks.append(layer_table(title, plan.layers, timed=timed))
    text = ""
    if plan.layers:
        text += f"held by each worker: {bytes_text(held(plan.layers))}\n"
    if plan.latency is not None:
        text += latency_line(plan.latency)
    for path, _ in plan.at_call:
        text += f"planned at the first call for each height and width: {path}\n"
    for graph, entry in plan.stretches_at_call:
        where = f" in {graph}" if graph else ""
        text += (
            f"planned at the first call for each height and width: what follows {entry}"
            f"{where}\n"
        )
    for path, reason in plan.not_coded:
        text += f"not coded: {path}: {reason}\n"
    later = plan.at_call or plan.stretches_at_call
    if plan.latency is not None and plan.alone is not None and not later:
        text += worth(
            plan.alone,
            plan.latency,
            plan.images_per_second,
            workers=plan.workers,
            pays=plan.pays,
            over_workers=plan.uses_workers,
        )
    return [*blocks, text]

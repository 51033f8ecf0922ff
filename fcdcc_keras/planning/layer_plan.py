"""How one layer is coded: its plan, as plain data, and in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from fcdcc_keras import codes
from fcdcc_keras.checks import record
from fcdcc_keras.codes import Certificate, Code, certify
from fcdcc_keras.errors import PlanError
from fcdcc_keras.markup import Table
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning.cost import LayerCost, layer_cost
from fcdcc_keras.planning.objective import Objective
from fcdcc_keras.planning.prediction import Latency
from fcdcc_keras.text import count, milliseconds

T = TypeVar("T")


@dataclass(frozen=True)
class LayerPlan:
    """How one layer is coded."""

    path: str
    """Name of the layer, after the names of the models it stands in, by "/"."""
    geometry: ConvGeometry
    code: Code
    cost: LayerCost
    """Costs for one image."""
    certificate: Certificate
    """How much error any allowed survivor set of the code can cause."""
    hedged: bool = False
    """Whether only as many workers as needed are sent to, and the others when one is
    late."""
    latency: Latency | None = None
    """Predicted; None where nothing is known of the cluster."""

    @classmethod
    def of(
        cls,
        path: str,
        geometry: ConvGeometry,
        code: Code,
        itemsize: int = 4,
        *,
        hedged: bool = False,
        objective: Objective | None = None,
    ) -> LayerPlan:
        """Returns the plan of a layer under a given code.

        Args:
            path: Name of the layer.
            geometry: Sizes of the layer.
            code: The code, with its split.
            itemsize: Bytes of one float.
            hedged: Whether only as many workers as needed are sent to at first.
            objective: What costs are weighed and its latency is predicted by;
                default: ``Prices()``, and it is not predicted.
        """
        objective = objective or Objective()
        cost = layer_cost(geometry, code, objective.prices, itemsize, hedged=hedged)
        latency = objective.latency(geometry, code, itemsize, hedged)
        return cls(path, geometry, code, cost, certify(code), hedged, latency)

    @property
    def held(self) -> int:
        """Bytes of coded kernel that each worker holds, of float32."""
        return 4 * self.cost.storage

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan of the layer as JSON-ready plain data."""
        return {
            "path": self.path,
            "geometry": asdict(self.geometry),
            "code": self.code.to_dict(),
            "cost": asdict(self.cost),
            "certificate": self.certificate.to_dict(),
            "hedged": self.hedged,
            "latency": self.latency and self.latency.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LayerPlan:
        """Returns the plan that ``to_dict`` described.

        Raises:
            PlanError: The data is not that of a layer's plan.
        """
        try:
            return cls(
                path=is_a(str, data["path"]),
                geometry=ConvGeometry(**data["geometry"]),
                code=codes.from_dict(data["code"]),
                cost=record(LayerCost, data["cost"]),
                certificate=Certificate.from_dict(data["certificate"]),
                hedged=is_a(bool, data.get("hedged", False)),
                latency=optional(Latency.from_dict, data.get("latency")),
            )
        except PlanError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise not_a_plan(data) from error


def held(plans: Sequence[LayerPlan]) -> int:
    """Returns the bytes of shares that one worker holds of all layers."""
    return sum(plan.held for plan in plans)


def layer_table(title: str, layers: Sequence[LayerPlan], *, timed: bool) -> Table:
    """Returns coded layers as a table, costs for one image.

    Args:
        title: Printed above it.
        layers: The layers.
        timed: Whether it has latencies.
    """
    rows = [
        (
            layer.path,
            layer.code.name,
            f"{layer.code.k_a}, {layer.code.k_b}",
            f"{layer.code.recovery_threshold} of {layer.code.workers}",
            count(layer.cost.upload),
            count(layer.cost.download),
            count(layer.cost.storage),
            count(layer.cost.multiply_adds),
            f"{layer.cost.multiply_adds / layer.geometry.multiply_adds:.2f}",
            f"{layer.certificate.amplification_99:.3g}",
            *_times(layer, timed),
        )
        for layer in layers
    ]
    columns = [
        "layer",
        "code",
        "k_A, k_B",
        "needed",
        "floats up / worker",
        "floats down",
        "floats held / worker",
        "multiply-adds / worker",
        "of layer",
        "error × plain",
        *(["sent to", "expected ms", "p99 ms"] if timed else []),
    ]
    return Table(title, columns, rows)


def _times(layer: LayerPlan, timed: bool) -> tuple[str, ...]:
    if not timed:
        return ()
    sent = layer.code.recovery_threshold if layer.hedged else layer.code.workers
    if layer.latency is None:
        return str(sent), "", ""
    expected, p99 = layer.latency.expected, layer.latency.p99
    return str(sent), milliseconds(expected), milliseconds(p99)


def optional(read: Callable[[Any], T], data: Any) -> T | None:
    """Returns what is read of some data; None where there are none."""
    return None if data is None else read(data)


def is_a(kind: type[T], value: object) -> T:
    """Returns a value.

    Raises:
        TypeError: It is of another kind.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def not_a_plan(source: object, is_text: bool = True) -> PlanError:
    """Returns the error of what is no plan, by the text or the file's path."""
    received = str(source)[:80] if is_text else str(source)
    return PlanError(
        "A plan must be what `Plan.to_json` writes. Received: "
        f"{received!r}. Make one with `fk.plan(model, workers=n)`."
    )

"""How stretches of a model are cut into chains, and who computes each: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fcdcc_keras.checks import record
from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning.prediction import Latency

PLACES = ("workers", "client")


@dataclass(frozen=True)
class ChainPlan:
    """A chain of layers that is computed in one place."""

    to: str
    """Path of the layer that it ends with; it begins where the one before ends."""
    place: str
    """"workers": in tiles; "client": by this process's own engine."""
    hedged: bool = True
    """Whether each tile goes to one worker, and to another when that is late;
    otherwise γ + 1 workers compute each."""
    tiles: tuple[int, ...] = ()
    """Of one image, over all workers: parts along images, rows, columns; () where they
    are no grid, or it is the client's."""
    upload: int = 0
    """Bytes of one image's tiles on their way to the workers, each once."""
    download: int = 0
    """Bytes of their results."""
    work: float = 0.0
    """Multiply-adds of the largest tile, as part of the whole chain's."""
    seconds: float = 0.0
    """That a worker of speed 1 computes for the largest tile of one image."""
    parts: int = 1
    """Tiles of one image."""
    held: int = 0
    """Bytes of weights that each worker holds."""
    latency: Latency | None = None
    """Predicted, for one image."""

    def __post_init__(self) -> None:
        if self.place not in PLACES:
            raise PlanError(
                "A chain must be computed by workers or the client. Received: "
                f"place={self.place!r}. Use one of {', '.join(PLACES)}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan of the chain as JSON-ready plain data."""
        return {**asdict(self), "latency": self.latency and self.latency.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ChainPlan:
        """Returns the plan that ``to_dict`` described.

        Raises:
            PlanError: The data is not that of a chain's plan.
        """
        given = dict(data) if isinstance(data, Mapping) else {}
        latency = given.pop("latency", None)
        known = record(cls, given)
        if latency is None:
            return known
        return replace(known, latency=Latency.from_dict(latency))


@dataclass(frozen=True)
class StretchPlan:
    """A stretch of a model's graph, cut into chains."""

    graph: str
    """As ``partition.stretch.Stretch`` has it, as ``entry``."""
    entry: str
    size: tuple[int, ...]
    """Of the input that it was planned for; for others it is cut alike."""
    chains: tuple[ChainPlan, ...]

    def __post_init__(self) -> None:
        if not self.chains:
            raise PlanError(
                "A stretch of a model must have a chain. Received: none, after "
                f"{self.entry!r}. Leave the stretch out of the plan."
            )

    @property
    def exit(self) -> str:
        """Path of the layer whose output it yields."""
        return self.chains[-1].to

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan of the stretch as JSON-ready plain data."""
        chains = [chain.to_dict() for chain in self.chains]
        return {**asdict(self), "size": list(self.size), "chains": chains}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StretchPlan:
        """Returns the plan that ``to_dict`` described.

        Raises:
            PlanError: The data is not that of a stretch's plan.
        """
        given = dict(data) if isinstance(data, Mapping) else {}
        chains = given.pop("chains", None)
        if not isinstance(chains, list):
            chains = []  # of which none is made
        made = tuple(ChainPlan.from_dict(chain) for chain in chains)
        where = record(_Where, given)
        return cls(where.graph, where.entry, where.size, made)


@dataclass(frozen=True)
class _Where:
    """All of a stretch's plan but its chains."""

    graph: str
    entry: str
    size: tuple[int, ...]

"""How stretches of a model are cut into chains, and who computes each: plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, groupby, pairwise
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
    exchange: bool = False
    """Whether workers keep what it yields, and exchange halos of it for the next chain,
    rather than give it to the client."""
    exchanged: int = 0
    """Bytes of halos that workers send each other before it, for one image."""
    halos: int = 0
    """Of these, those that the worker has with most to do: given, or taken."""

    def __post_init__(self) -> None:
        if self.place not in PLACES:
            raise PlanError(
                "A chain must be computed by workers or the client. Received: "
                f"place={self.place!r}. Use one of {', '.join(PLACES)}."
            )
        if self.exchange and not self.may_exchange:
            raise PlanError(
                "Halos must be exchanged by workers, each tile with one of them. "
                f"Received: exchange=True, place={self.place!r}, "
                f"hedged={self.hedged}, for the chain to {self.to!r}. Give it to the "
                "workers, hedged, or have it yield to the client."
            )

    @property
    def may_exchange(self) -> bool:
        """Whether each of its tiles is with one worker, which may keep it."""
        return self.place == "workers" and self.hedged

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
        if self.chains[-1].exchange:
            raise _unread(self.chains[-1], "the last of a stretch")
        for chain, after in pairwise(self.chains):
            if chain.exchange and not after.may_exchange:
                who = f"{after.place}, " + ("hedged" if after.hedged else "eager")
                raise _unread(chain, f"before one of {who}")
            if chain.exchange and after.tiles and math.prod(after.tiles) == 1:
                raise _unread(chain, "before one in a single tile")

    @property
    def exit(self) -> str:
        """Path of the layer whose output it yields."""
        return self.chains[-1].to

    @property
    def runs(self) -> list[range]:
        """Numbers of the chains that follow each other in one place and one way.

        Where halos are exchanged between chains, these are a run of their own.
        """
        kept = [False, *(chain.exchange for chain in self.chains)]
        begun = list(accumulate(int(b and not a) for a, b in pairwise(kept)))

        def alike(number: int) -> tuple[str, bool, int]:
            exchanging = kept[number] or kept[number + 1]
            chain = self.chains[number]
            return chain.place, chain.hedged, begun[number] if exchanging else 0

        groups = groupby(range(len(self.chains)), alike)
        numbers = [list(group) for _, group in groups]
        return [range(run[0], run[-1] + 1) for run in numbers]

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


def _unread(chain: ChainPlan, where: str) -> PlanError:
    return PlanError(
        "Workers must keep only what they read themselves, in the tiles of a chain "
        f"that is theirs, hedged. Received: exchange=True of the chain to "
        f"{chain.to!r}, {where}. Have it yield to the client."
    )

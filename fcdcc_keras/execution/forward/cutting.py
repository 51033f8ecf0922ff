"""Chains of a stretch cut into tiles for the workers that are there. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from fcdcc_keras.coding.tiles import CutChain
from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.forward.cuts import Chains, Cuts, Team
from fcdcc_keras.partition.boxes import Box
from fcdcc_keras.partition.stretch import Chain, Stretch
from fcdcc_keras.partition.tiling import shares
from fcdcc_keras.planning.chains.exchange import best_exchange
from fcdcc_keras.planning.chains.plan import StretchPlan
from fcdcc_keras.planning.chains.tile_time import Rates
from fcdcc_keras.planning.chains.tiles import best_tiles
from fcdcc_keras.planning.chains.zeros import part_sent
from fcdcc_keras.worker.engines.base import Recent

At = Callable[[tuple[int, ...]], Stretch]
"""Gives a stretch for a size of its input, (H, W)."""
_ROUNDS = 4
"""Parts that a worker's images are sent in: one computed, others on their way."""
SIZES = 16
"""Shapes of inputs of which chains and tiles are kept."""


@dataclass(frozen=True)
class ChainRun:
    """Chains that follow each other in one place."""

    name: str
    """Of the first and the last layer, for people."""
    numbers: range
    """Of its chains in the stretch."""
    distributed: bool
    """Whether workers compute them."""
    hedged: bool
    """Whether each tile is sent to one worker while none is late."""
    exchange: bool = False
    """Whether workers keep what each chain yields but the last, and exchange halos: as
    far as its tiles are ``exchangeable``."""


class Cutting:
    """A stretch's chains, and the tiles of each."""

    def __init__(self, plan: StretchPlan, at: At, rates: Rates | None = None) -> None:
        """Takes how the stretch is cut into chains, and the stretch.

        Args:
            plan: Its chains.
            at: The stretch.
            rates: What tiles are chosen by; default: ``Rates()``.

        Raises:
            PlanError: It cannot be cut so.
        """
        self._plan = plan
        self._at = at
        self._rates = rates or Rates()
        self._chains = Recent[tuple[Chain, ...]](SIZES)
        self._cuts = Recent[Cuts](SIZES)
        self.names = self._names()
        """Of each chain, for people."""
        self.distributed = [chain.place == "workers" for chain in plan.chains]
        """Whether workers compute each chain."""
        self.runs = self._runs()
        """All chains, in their order."""
        if any(run.exchange for run in self.runs):
            self._check()

    def chains(self, size: tuple[int, ...] | None = None) -> tuple[Chain, ...]:
        """Returns the chains for a size of the stretch's input, (H, W).

        Args:
            size: None: that planned for.
        """
        size = self._plan.size if size is None else size

        def cut() -> tuple[Chain, ...]:
            stretch, ends = self._at(size), [chain.to for chain in self._plan.chains]
            return tuple(map(stretch.chain, [None, *ends[:-1]], ends))

        return self._chains.get(size, cut)

    def cuts(
        self, run: ChainRun, size: tuple[int, ...], shape: tuple[int, ...]
    ) -> Cuts:
        """Returns how the chains of a run are cut for the workers that are there.

        Args:
            run: The run.
            size: Of the stretch's input, (H, W).
            shape: Of the run's input, ``(B, H, W, C)``.
        """
        make = partial(self._cut, run, size, shape)
        return self._cuts.get((run, size, shape), lambda: Cuts(make))

    def one_image(self, run: ChainRun) -> np.ndarray:
        """Returns zeros of the size planned for, as a run reads them."""
        stretch = self._at(self._plan.size)
        shape, dtype = stretch.shape(1), stretch.program.dtype
        for chain in self.chains()[: run.numbers[0]]:
            shape = chain.sized(shape).shapes[-1]
        return np.zeros(shape, dtype)

    def _cut(
        self, run: ChainRun, size: tuple[int, ...], shape: tuple[int, ...], team: Team
    ) -> Chains:
        addresses, speeds, sized = list(team), tuple(team.values()), []
        for number in run.numbers:
            sized.append(self.chains(size)[number].sized(shape))
            shape = sized[-1].shapes[-1]
        # With an image or more for each, whole images are cut, and kept all the way.
        if run.exchange and shape[0] < max(2, len(team)):
            every = best_exchange(sized, speeds, self._rates)
        else:
            every = tuple(
                best_tiles(one, speeds, self._rates, self._parts_sent(number))
                for number, one in zip(run.numbers, sized, strict=True)
            )
        cut = []
        for number, one, tiles in zip(run.numbers, sized, every, strict=True):
            boxes = [
                (addresses[worker], part)
                for worker, box in tiles
                for part in ([box] if run.exchange else _in_rounds(box))
            ]
            cut.append(CutChain.of(self.names[number], one, boxes))
        return tuple(cut)

    def _parts_sent(self, number: int) -> tuple[float, float]:
        """Returns the parts that are sent of what a chain reads, and of its answers."""
        if not self._rates.sparse:
            return 1.0, 1.0
        stretch = self._at(self._plan.size)
        ends = [0, *(dict(stretch.ends)[chain.to] for chain in self._plan.chains)]
        first, last = ends[number : number + 2]
        return part_sent(stretch.program, first), part_sent(stretch.program, last)

    def _names(self) -> list[str]:
        stretch = self._at(self._plan.size)
        paths = [path for path, _ in stretch.ends]
        names, first = [], 0
        for chain in self._plan.chains:
            last = paths.index(chain.to) if chain.to in paths else first
            names.append(_from_to(paths[first], chain.to))
            first = last + 1
        return names

    def _runs(self) -> list[ChainRun]:
        runs = []
        for numbers in self._plan.runs:
            chains = [self._plan.chains[number] for number in numbers]
            first = self.names[numbers[0]].partition(_DOTS)[0]
            name, on_workers = _from_to(first, chains[-1].to), self.distributed
            exchange, hedged = chains[0].exchange, chains[0].hedged
            run = ChainRun(name, numbers, on_workers[numbers[0]], hedged, exchange)
            runs.append(run)
        return runs

    def _check(self) -> None:
        """Checks that what workers keep is computed and read in tiles.

        Raises:
            PlanError: Any part of it, or of what follows, needs all that there is.
        """
        shape, kept = self._at(self._plan.size).shape(1), False
        for chain, plan in zip(self.chains(), self._plan.chains, strict=True):
            sized = chain.sized(shape)
            if (kept or plan.exchange) and not sized.local:
                raise PlanError(
                    "What workers keep must be computed and read in tiles. Received: "
                    f"exchange=True at the chain to {plan.to!r}, any part of which "
                    "needs all that it reads. Have workers yield to the client there."
                )
            shape, kept = sized.shapes[-1], plan.exchange


_DOTS = " … "


def _from_to(first: str, last: str) -> str:
    return first if first == last else f"{first}{_DOTS}{last}"


def _in_rounds(box: Box) -> list[Box]:
    """Returns a worker's images in parts, so that some are sent while it computes."""
    images, *rest = box
    parts = shares(len(images), (1.0,) * min(_ROUNDS, len(images)))
    return [(images[part.start : part.stop], *rest) for part in parts]

"""Parts of a stretch that workers may compute, and what these take. Pure.

Each is a chain in tiles. It begins with what the client sends, or with what the workers
have in the tiles of some grid and exchange halos of; and likewise it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from fcdcc_keras.codes.figures import rounded
from fcdcc_keras.planning.chains.costs import StretchCosts, Tiled
from fcdcc_keras.planning.chains.exchange import (
    MOST_EXCHANGING,
    Halos,
    TileGrid,
    exchange_chain_time,
    grids,
)
from fcdcc_keras.planning.chains.law import chain_law, law_until_late, power
from fcdcc_keras.planning.chains.plan import ChainPlan
from fcdcc_keras.planning.chains.terms import Terms
from fcdcc_keras.planning.chains.tile_time import (
    ChainTime,
    chain_time,
    seconds_an_image,
)
from fcdcc_keras.planning.chains.tiles import Tiles, parts
from fcdcc_keras.planning.prediction import layer_latency
from fcdcc_keras.planning.waiting import Waiting

Place = Literal["workers", "client", "keras", "coded"]
State = Place | int
"""Who has what is at a cut: the client, and who was there last; or the workers, in the
tiles of the grid of this number."""
EVERY: tuple[Place, ...] = ("keras", "client", "workers")
"""Who may be before a part: Keras also stands for coded layers."""
HELD_TIMES = 3
"""What a worker's memory has of a chain's weights, in copies: as they came, in the
model that the engine was given, and in the order in which that computes."""
_IMAGES_OF_EACH = 4
"""Images of a worker that the round trip of a chain is shared by: of a large batch."""


@dataclass(frozen=True)
class StretchPart:
    """A part of a stretch between two cuts, and who computes it."""

    first: int
    last: int
    by: Place
    seconds: float
    """Of one image; of "throughput", between images."""
    chain: ChainPlan | None = None
    law: Waiting | None = None
    """Of the seconds of one image, where workers compute it."""
    held: int = 0
    """Bytes of a worker's memory that its weights take."""
    late: float = 0.0
    """Where halos are exchanged before or behind it: the chance that one of its tiles
    is late. Then all chains of that run are done again, by way of the client."""
    again: float = 0.0
    """Seconds that it takes by way of the client."""


Candidate = tuple[StretchPart, State, State]
"""A part, who has what it reads, and who then has what it yields."""


class WorkerParts:
    """The parts of a stretch that workers may compute."""

    def __init__(self, costs: StretchCosts, terms: Terms, least: float) -> None:
        """Takes what is planned.

        Args:
            costs: Of the stretch, for one image.
            terms: What to plan by.
            least: Seconds that are added to each part.
        """
        self._costs, self._terms, self._least = costs, terms, least
        self._rates, self._speeds = terms.rates, terms.speeds
        self._power = power(self._speeds, terms.straggling)
        may_hedge = terms.hedged is None or terms.hedged
        self._grids = list[TileGrid]()
        self._known = dict[tuple[int, int], Tiles]()
        if self._rates.exchanging and terms.by == "latency" and may_hedge:
            images, *sizes, _ = costs.shape(0)
            shapes = [costs.shape(cut) for cut in range(costs.cuts + 1)]
            found = grids(images, len(sizes), self._speeds)
            # Of those that cut all alike the first is left.
            alike = {tuple(map(one.tiles, shapes)): one for one in reversed(found)}
            self._grids = list(alike.values())

    def ending(self, last: int, barred: int = -1) -> Iterator[Candidate]:
        """Yields those that end at a cut.

        Args:
            last: The cut.
            barred: The last cut from which on to the next nothing may go to workers.
        """
        tiled = self._costs.tiled(last, self._speeds, self._rates)
        for first, ways in sorted(tiled.items()):
            if first > barred:
                part = self._tiles(first, last, ways)
                yield from ((part, before, "workers") for before in EVERY)
                yield from self._exchanging(part, ways)

    def _tiles(self, first: int, last: int, ways: Sequence[Tiled]) -> StretchPart:
        terms = self._terms
        timed = [(chain_time(way.costs, self._rates), way) for way in ways]
        time, way = min(timed, key=lambda pair: rounded(pair[0].total))
        options = []
        for hedged in (True, False) if terms.hedged is None else (terms.hedged,):
            copies = 1 if hedged else terms.stragglers + 1
            one = chain_time(way.costs, self._rates, copies)
            law = self._law(one, way, hedged=hedged)
            options.append((rounded(law.mean), one, law, hedged))
        _, time, law, hedged = min(options, key=lambda option: option[0])
        if terms.by != "throughput":
            chain = self._chain(first, last, way, time, law, hedged=hedged)
            return self._part(first, last, chain, law)
        (*_, alone), copies = ways, 1 if hedged else terms.stragglers + 1
        upload = sum(int(tile.sent) for tile in alone.costs)
        answer = sum(int(tile.received) for tile in way.costs)
        spent = sum(tile.seconds * self._speeds[tile.worker] for tile in alone.costs)
        seconds = seconds_an_image(
            upload * copies, spent * copies, answer, self._rates, self._power
        )
        seconds += self._rates.round_trip / (_IMAGES_OF_EACH * terms.workers)
        chain = self._chain(first, last, alone, time, law, hedged=hedged)
        chain = replace(chain, download=answer, work=1.0)
        part = self._part(first, last, chain, law)
        return replace(part, seconds=seconds + self._least)

    def _exchanging(
        self, plain: StretchPart, ways: Sequence[Tiled]
    ) -> Iterator[Candidate]:
        """Yields a part as it is where workers keep what is before it, or behind it.

        Args:
            plain: The same by way of the client.
            ways: To cut it.
        """
        if not self._grids:
            return
        first, last = plain.first, plain.last
        few = (way for way in ways if 1 < len(way.tiles) <= MOST_EXCHANGING)
        known = {way.tiles: way for way in few}
        *_, channels = self._costs.shape(first)
        dtype, rates = self._costs.stretch.program.dtype, self._rates
        for number in range(len(self._grids)):
            way = known.get(self._cut(number, last))
            if way is None:
                continue
            made = partial(self._kept, plain, way)
            if last < self._costs.cuts:
                opening = made(None, keeps=True)
                yield from ((opening, before, number) for before in EVERY)
            before = self._cut(number, first)
            if not (before and first):
                continue
            halos = Halos.of(before, way.reads, channels, dtype)
            exchange = halos, halos.seconds(rates, self._grids[number].speeds)
            yield made(exchange, keeps=False), number, "workers"
            if last < self._costs.cuts:
                yield made(exchange, keeps=True), number, number

    def _kept(
        self,
        plain: StretchPart,
        way: Tiled,
        exchange: tuple[Halos, float] | None,
        *,
        keeps: bool,
    ) -> StretchPart:
        halos, wait = exchange or (None, None)
        time = exchange_chain_time(way.costs, self._rates, wait, keeps=keeps)
        law, late = law_until_late(time, len(way.tiles), self._terms.straggling)
        chain = self._chain(
            plain.first, plain.last, way, time, law, halos=halos, keeps=keeps
        )
        return self._part(plain.first, plain.last, chain, law, late, plain.seconds)

    def _part(
        self,
        first: int,
        last: int,
        chain: ChainPlan,
        law: Waiting,
        late: float = 0.0,
        again: float = 0.0,
    ) -> StretchPart:
        held, seconds = HELD_TIMES * chain.held, law.mean + self._least
        by: Place = "workers"
        return StretchPart(first, last, by, seconds, chain, law, held, late, again)

    def _chain(
        self,
        first: int,
        last: int,
        way: Tiled,
        time: ChainTime,
        law: Waiting,
        *,
        hedged: bool = True,
        halos: Halos | None = None,
        keeps: bool = False,
    ) -> ChainPlan:
        sent = 0 if halos else sum(int(tile.sent) for tile in way.costs)
        seconds = max(tile.seconds * self._speeds[tile.worker] for tile in way.costs)
        return ChainPlan(
            str(self._costs.path(last)),
            "workers",
            hedged=hedged,
            tiles=parts(way.tiles),
            upload=sent,
            download=0 if keeps else sum(int(tile.received) for tile in way.costs),
            work=rounded(way.largest),
            seconds=rounded(seconds),
            parts=len(way.costs),
            held=self._costs.held(first, last),
            latency=layer_latency(time.total, law),
            exchange=keeps,
            exchanged=halos.nbytes if halos else 0,
            halos=halos.most if halos else 0,
        )

    def _cut(self, number: int, cut: int) -> Tiles:
        """Returns the tiles of a grid at a cut; () where there are none."""
        key = number, cut
        if key not in self._known:
            self._known[key] = self._grids[number].tiles(self._costs.shape(cut)) or ()
        return self._known[key]

    def _law(self, time: ChainTime, way: Tiled, *, hedged: bool) -> Waiting:
        terms = self._terms
        return chain_law(
            time,
            len(way.tiles),
            terms.straggling,
            hedged=hedged,
            stragglers=terms.stragglers,
            workers=terms.workers,
        )

"""How chains are cut at present, and how they will be as soon as that is ready.

To cut chains takes the client long, and workers take long over programs that they have
never run. So when others come, or some are gone, tiles stay as they were: who comes has
the tiles of one that is gone, and those for which nobody came are done by whoever is
free. Meanwhile better ones are made, and got ready. Whatever was cut before is kept: a
team that is there again goes on at once.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from fcdcc_keras.coding.exchange import CutRun
from fcdcc_keras.coding.job import Placement
from fcdcc_keras.coding.tiles import CutChain
from fcdcc_keras.dispatch.rehearsal import Rehearsed

Team = Mapping[str, float]
"""Addresses of workers, with their speeds."""
Chains = tuple[CutChain, ...]
WORTH_IT = 1.25
"""Times as long as with tiles cut anew that those of before take, from which on they
are cut anew: a worker must get other programs ready for them."""
_LASTING, _SURELY = 3, 8
"""Calls one after another at which the same others are there, or other speeds are told,
before they are cut for, and rehearse: anybody is late or slow for a moment."""
_STEPS = 2
"""Speeds between one and twice that are told apart, so that the same come again."""
_MOST = 8
"""Ways to cut the same chains that are kept."""
Later = Callable[[Callable[[], Chains]], "Future[Chains]"]
"""Has chains be made beside."""


class TeamCut:
    """Chains cut for some workers."""

    def __init__(
        self,
        chains: Chains,
        team: Team,
        rehearsed: dict[tuple[Placement, ...], Rehearsed] | None = None,
    ) -> None:
        """Takes what was cut.

        Args:
            chains: The chains.
            team: Whom they were cut for.
            rehearsed: Who has run which of the same tiles, with certain weights.
        """
        self.chains = chains
        self.team = dict(team)
        self.exchangeable = exchangeable(chains)
        self.homes = {tile.home for chain in chains for tile in chain.tiles}
        self._rehearsed = {} if rehearsed is None else rehearsed
        self._run: CutRun | None = None

    def run(self, placements: tuple[Placement, ...]) -> CutRun:
        """Returns the chains as workers exchange halos between them.

        Args:
            placements: Where their weights are.
        """
        rehearsed, run = self._rehearsed.get(placements), self._run
        if rehearsed is None:
            rehearsed = Rehearsed()
            self._rehearsed.clear()  # of weights that were before
            self._rehearsed[placements] = rehearsed
        if run is None or run.rehearsed is not rehearsed:
            run = self._run = CutRun(self.chains, rehearsed)
        return run

    def given_to(self, team: Team, *, strictly: bool = False) -> TeamCut:
        """Returns it with the tiles of those that are gone given to those that came.

        Args:
            team: Who is there.
            strictly: Whether nobody is to have what was cut for another speed.
        """
        there = {
            address
            for address, speed in self.team.items()
            if address in team and not (strictly and team[address] != speed)
        }
        gone = sorted(
            self.team.keys() - there,
            key=lambda a: (a not in self.homes, self.team[a], a),
        )
        come = sorted(team.keys() - there, key=lambda a: (team[a], a))
        takes = dict(zip(gone, come, strict=False))
        return self._of_others(takes) if takes else self

    def turned(self, by: int) -> TeamCut:
        """Returns it with the tiles of each worker given to another.

        Args:
            by: How far, in the order of the tiles, which are exchangeable.
        """
        homes = [tile.home for tile in self.chains[0].tiles]
        return self._of_others(
            {home: homes[(n + by) % len(homes)] for n, home in enumerate(homes)}
        )

    def _of_others(self, takes: Mapping[str, str]) -> TeamCut:
        chains = tuple(
            replace(
                chain,
                tiles=tuple(
                    replace(tile, home=takes.get(tile.home, tile.home))
                    for tile in chain.tiles
                ),
            )
            for chain in self.chains
        )
        given = {takes.get(a, a): speed for a, speed in self.team.items()}
        return TeamCut(chains, given, self._rehearsed)


class Cuts:
    """How chains are cut, for one shape of their input."""

    def __init__(
        self, make: Callable[[Team], Chains], later: Later | None = None
    ) -> None:
        """Takes what cuts them for a team, and what has that be done beside."""
        self._make = make
        self._later = later or _beside
        self._lock = threading.Lock()
        self._now: TeamCut | None = None
        self._known: OrderedDict[tuple[float, ...], TeamCut] = OrderedDict()
        self._making: tuple[Team, Future[Chains]] | None = None
        self._doubts = 0
        """Calls one after another at which others would have been better, for"""
        self._doubted: frozenset[str] = frozenset()
        """these workers."""

    def look(self, team: Team) -> tuple[TeamCut, TeamCut | None, bool]:
        """Returns how they are cut, and what would be better, once it is made.

        At first they are cut for the team at once.

        Args:
            team: Who is there, and how fast.

        Returns:
            Also whether what would be better is worth rehearsing: it is no moment's.
        """
        team = {address: _worth_telling(speed) for address, speed in team.items()}
        with self._lock:
            self._take_made()
            if self._now is None:
                self._now = self._keep(TeamCut(self._make(team), team))
            before, now = self._now, self._now.given_to(team)
            if now is not before:
                self._now = self._keep(now)
            if _times(now.team, team) <= WORTH_IT:
                self._doubts = 0
                return now, None, False
            self._doubts = self._doubts + 1 if self._doubted == team.keys() else 1
            self._doubted = frozenset(team)
            others = now.team.keys() != team.keys()
            lasts = self._doubts >= (_LASTING if others else _SURELY)
            return now, self._better(team, lasts) if others or lasts else None, lasts

    def of_fewer(self, team: Team, many: int) -> TeamCut:
        """Returns how they are to be cut when some are gone; makes it.

        Args:
            team: Who is there, and how fast.
            many: How many are gone, whoever.
        """
        left = dict(list(team.items())[: len(team) - many])
        with self._lock:
            known = self._known.get(_key(left))
        made = known or TeamCut(self._make(left), left)
        with self._lock:
            return self._keep(made)

    def take(self, cut: TeamCut) -> None:
        """Has them be cut so from now on."""
        with self._lock:
            self._now = self._keep(cut)

    def _better(self, team: Team, lasts: bool) -> TeamCut | None:
        """Returns what is known for a team; has it be made, if that is no moment's."""
        known = self._known.get(_key(team))
        if known is not None:
            return self._keep(known.given_to(team, strictly=True))
        if lasts and self._making is None:
            self._making = team, self._later(lambda: self._make(team))
        return None

    def _take_made(self) -> None:
        if self._making is not None and self._making[1].done():
            (team, made), self._making = self._making, None
            self._keep(TeamCut(made.result(), team))

    def _keep(self, cut: TeamCut) -> TeamCut:
        self._known[_key(cut.team)] = cut
        self._known.move_to_end(_key(cut.team))
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return cut


def exchangeable(chains: Sequence[CutChain]) -> bool:
    """Returns whether each worker has one tile of every chain, all in the same order.

    Then it can keep what it computed, and take from others only what lies around.

    Args:
        chains: That follow each other.
    """
    first, *others = ([tile.home for tile in chain.tiles] for chain in chains)
    return len({*first}) == len(first) and all(homes == first for homes in others)


def _key(team: Team) -> tuple[float, ...]:
    return tuple(sorted(team.values()))


def _worth_telling(speed: float) -> float:
    """Returns a worker's speed; 1, where it differs by less than tiles are cut for."""
    if max(speed, 1 / speed) <= WORTH_IT:
        return 1.0
    return float(2 ** (round(_STEPS * math.log2(speed)) / _STEPS))


def _times(old: Team, new: Team) -> float:
    """Returns how many times as long tiles cut for a team take another."""
    if old.keys() != new.keys():
        return math.inf
    slowest = max(old[address] / new[address] for address in old)
    return slowest * sum(new.values()) / sum(old.values())


def _beside(make: Callable[[], Chains]) -> Future[Chains]:
    made = Future[Chains]()

    def run() -> None:
        try:
            made.set_result(make())
        except BaseException as error:  # it comes out of the next call
            made.set_exception(error)

    threading.Thread(target=run, name="fcdcc-cut", daemon=True).start()
    return made

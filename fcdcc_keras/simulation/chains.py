"""Chains of a simulated pass: their tiles, all taken for the largest of each chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fcdcc_keras.dispatch.piece_round import PieceRound
from fcdcc_keras.dispatch.pieces import Piece, PieceCollector
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.chains.plan import ChainPlan
from fcdcc_keras.planning.chains.tile_time import Rates
from fcdcc_keras.planning.objective import TIMEOUT
from fcdcc_keras.simulation.driver import Parcel, Passes, SimulatedCall, Step
from fcdcc_keras.simulation.links import Waiting


@dataclass(frozen=True)
class Chains(Step):
    """Chains that follow each other on the workers."""

    path: str
    chains: tuple[ChainPlan, ...]
    device: Calibration
    hedged: bool
    stragglers: int
    """γ."""

    def calls(self, passes: Passes, number: int) -> list[SimulatedCall]:
        """Returns them as what is under way; see ``Step``."""
        return [ChainsCall(passes, self)]


def exchanged(chains: Sequence[ChainPlan], device: Calibration) -> ChainPlan:
    """Returns chains between which workers exchange halos, as one that they compute.

    Nothing of what is between them goes to the client. Each worker has the mean of the
    halos. Where one is late another does all of its tiles, as of any chain; really all
    is done again by way of the client then, of which a plan does not have the bytes.

    Args:
        chains: That follow each other, all but the last of which workers keep.
        device: What they are computed by.
    """
    first, *others = chains
    rates = Rates.of(device)
    seconds = first.seconds
    for one in others:
        seconds += device.call + one.seconds
        seconds += one.halos * rates.exchange
        seconds += 2 * one.exchanged / one.parts / rates.link
    last = chains[-1]
    return replace(first, to=last.to, download=last.download, seconds=seconds)


class ChainsCall(SimulatedCall):
    """Chains from the input of the first to the output of the last."""

    def __init__(self, passes: Passes, run: Chains) -> None:
        """Takes what all share, and the chains."""
        addresses = passes.crew.roster.addresses
        self._tiles = [
            (number, tile)
            for number, chain in enumerate(run.chains)
            for tile in range(chain.parts)
        ]
        first = [sum(c.parts for c in run.chains[:n]) for n in range(len(run.chains))]
        pieces = [
            Piece(
                (run.path, number),
                1.0,
                addresses[tile % len(addresses)],
                frozenset(
                    first[number - 1] + other
                    for other in (_beside(run.chains, number, tile) if number else ())
                ),
            )
            for number, tile in self._tiles
        ]
        copies = 1 if run.hedged else run.stragglers + 1
        collector = PieceCollector(pieces, addresses)
        made = PieceRound(
            collector,
            passes.crew,
            lambda slot, worker: True,
            timeout=TIMEOUT,
            copies=copies,
        )
        super().__init__(passes, made)
        self.path, self._run = run.path, run
        self.decode_seconds = run.chains[-1].download / run.device.coding_rate

    def parcel(self, slot: int) -> Parcel:
        """Returns what a tile asks for."""
        number, device = self._tiles[slot][0], self._run.device
        chain = self._run.chains[number]
        return Parcel(
            chain.upload // chain.parts,
            chain.seconds + device.call,
            device.head_start if not number else 0.0,
            chain.download // chain.parts,
        )

    def encoding(self, slots: Sequence[int]) -> tuple[float, float]:
        """Returns the client's seconds for cutting tiles out, and for sending them."""
        nbytes = sum(self.parcel(slot).upload for slot in slots)
        device = self._run.device
        return nbytes / device.coding_rate, device.message * len(slots)

    def missing(self) -> str:
        """Returns what is needed, where it is not there."""
        return f"{self.path!r} needs the results of all its tiles."

    def place(self, slot: int, worker: str) -> Waiting:
        """Every worker has the weights."""
        raise AssertionError(f"{worker} has what tile {slot} needs")


def _beside(chains: Sequence[ChainPlan], number: int, tile: int) -> range:
    """Returns the tiles of the chain before whose results a tile needs, about."""
    before, here = chains[number - 1].parts, chains[number].parts
    first, last = tile * before // here, -(-(tile + 1) * before // here)
    return range(max(0, first - 1), min(before, last + 1))

"""The client's part of chains whose tiles exchange halos from worker to worker."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fcdcc_keras.coding.job import Placement
from fcdcc_keras.coding.tiles import CutChain, CutTile, TileJob
from fcdcc_keras.dispatch.pieces import Piece
from fcdcc_keras.dispatch.rehearsal import Rehearsed
from fcdcc_keras.partition.halos import Halo, halos
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.stages import ExchangeStage, bounds, packed_stages


class CutRun:
    """Chains cut so that each worker has one tile of every chain."""

    def __init__(
        self, chains: Sequence[CutChain], rehearsed: Rehearsed | None = None
    ) -> None:
        """Takes the chains; tile by tile all have the same homes.

        Args:
            chains: The chains.
            rehearsed: Who has run which of these tiles; None: nobody yet.
        """
        self.chains = chains
        """The chains, as they were given."""
        whole = sum(chain.work for chain in chains) or 1
        self.sizes = [
            tuple(
                tile.size * chain.work / whole
                for tile, chain in zip(tiles, chains, strict=True)
            )
            for tiles in zip(*(chain.tiles for chain in chains), strict=True)
        ]
        """Of each worker's tiles, chain by chain, as part of what the chains have."""
        self._halos = [
            list(
                halos(
                    [one.tile.output for one in before.tiles],
                    [one.tile.inputs[0] for one in after.tiles],
                )
            )
            for before, after in pairwise(chains)
        ]
        self.rehearsed = Rehearsed() if rehearsed is None else rehearsed
        """Who has run its programs, which take much longer the first time."""
        self._packed: dict[tuple[object, ...], bytes] = {}

    @property
    def bytes_exchanged(self) -> int:
        """Bytes that workers send each other."""
        return sum(
            int(np.prod([len(rows) for rows in halo.given]))
            * chain.shape[-1]
            * chain.dtype.itemsize
            for chain, crossing in zip(self.chains, self._halos, strict=False)
            for halo in crossing
            if halo.giver != halo.taker
        )

    def stages(
        self, slot: int, addresses: tuple[str, ...], shares: tuple[str, ...]
    ) -> bytes:
        """Returns what a worker does after the first chain; see ``worker.stages``.

        Args:
            slot: Number of its tiles.
            addresses: Who has which; (): it is by itself, and gives and takes nothing.
            shares: Keys of its weights of the chains after the first.
        """
        key = slot, addresses, shares
        if key not in self._packed:
            if len(self._packed) >= 4 * len(self.sizes):  # of others, or other weights
                self._packed.clear()
            self._packed[key] = packed_stages(
                [
                    self._stage(slot, number, addresses, share)
                    for number, share in enumerate(shares)
                ]
            )
        return self._packed[key]

    def _stage(
        self, slot: int, number: int, addresses: Sequence[str], share: str
    ) -> ExchangeStage:
        crossing = self._halos[number]
        gives = [halo for halo in crossing if halo.giver == slot]
        takes = [halo for halo in crossing if halo.taker == slot and addresses]

        def own(halo: Halo) -> bool:
            return halo.giver == halo.taker

        before, after = self.chains[number], self.chains[number + 1].tiles[slot]
        (read,) = after.tile.inputs
        return ExchangeStage(
            share,
            after.text,
            (*map(len, read), before.shape[-1]),
            tuple((bounds(h.given), bounds(h.taken)) for h in gives if own(h)),
            tuple(
                (addresses[h.taker], bounds(h.given))
                for h in gives
                if addresses and not own(h)
            ),
            tuple((h.giver, bounds(h.taken)) for h in takes if not own(h)),
        )


class ExchangeJob(TileJob):
    """Chains that workers compute one after another, exchanging halos in between.

    A slot stands for a worker's tiles of all chains.
    """

    def __init__(
        self,
        name: str,
        run: CutRun,
        placements: Sequence[Placement],
        inputs: np.ndarray,
        *,
        timeout: float,
        **how: Any,
    ) -> None:
        """Takes what is to be computed; see ``TileJob``."""
        super().__init__(name, run.chains, placements, inputs, timeout=timeout, **how)
        self.run = run
        self._workers = len(run.sizes)

    def pieces(self) -> list[Piece]:
        """Returns what each worker does."""
        kind = self.kind_of(self.name)
        return [
            Piece(kind, sum(sizes), one.home)
            for sizes, (_, one) in zip(self.run.sizes, self._tiles, strict=False)
        ]

    def placements_after(self) -> Sequence[Placement]:
        """Returns where the weights of the chains after the first are."""
        return self._placements[1:]

    def check(self, reply: Reply, slot: int) -> str | None:
        """Returns what is wrong with a worker's reply, or None."""
        chains = len(self._chains)
        if reply.array is not None and reply.chains != chains:
            return f"it computed {reply.chains} chains in place of {chains}"
        return super().check(reply, slot)

    def _yielded(self, slot: int) -> tuple[int, CutTile]:
        """Returns the chain and tile whose result a worker gives to the client."""
        return self._tiles[len(self._tiles) - self._workers + slot]

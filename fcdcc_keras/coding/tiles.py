"""The client's part of tiles: cropping their inputs, and putting results together."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcdcc_keras.coding.finite import all_finite
from fcdcc_keras.coding.job import Job, Placement, Verify, wrong_with
from fcdcc_keras.dispatch.pieces import Piece
from fcdcc_keras.partition.boxes import Box, SizedProgram, Tile, slices
from fcdcc_keras.programs import to_text
from fcdcc_keras.programs.exactness import plain_error
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.tensors import Allocate, aligned_empty

_MARGIN = 8.0
"""Times what results of one program are expected to differ by, at most, from engine to
engine: a worker that is beyond is not used any more."""


@dataclass(frozen=True)
class CutTile:
    """A tile that may be sent to any worker."""

    tile: Tile
    text: str
    """Its program's."""
    home: str
    """Address of the worker that it was cut for."""
    size: float
    """Its multiply-adds, as part of those of one whole image."""


@dataclass(frozen=True)
class CutChain:
    """A chain of layers cut into tiles, for one shape of its input."""

    name: str
    """Of the chain, for people."""
    shape: tuple[int, ...]
    """Of its output."""
    dtype: np.dtype[Any]
    error: float
    """Relative, that results may have: the sum of what its convolutions may."""
    tiles: tuple[CutTile, ...]
    work: int
    """Multiply-adds of one whole image."""

    @classmethod
    def of(
        cls, name: str, sized: SizedProgram, boxes: Sequence[tuple[str, Box]]
    ) -> CutChain:
        """Cuts a chain.

        Args:
            name: Its name.
            sized: The chain.
            boxes: Of its output, all of which they make up, each with the address of
                the worker that it is for.
        """
        image = range(1), *map(range, sized.shapes[-1][1:-1])
        work, yields = sized.work(image), sized.shapes[1:]
        whole, dtype = sum(work), sized.program.dtype
        tiles = []
        for home, box in boxes:
            tile = sized.tile(box)
            size = sized.load(box).multiply_adds / whole if whole else len(box[0])
            tiles.append(CutTile(tile, to_text(tile.program), home, size))
        terms = [n // math.prod(s[1:]) for n, s in zip(work, yields, strict=True) if n]
        error = sum(plain_error(dtype, each) for each in [*terms, 1])
        return cls(name, yields[-1], np.dtype(dtype), error, tuple(tiles), whole)


class TileJob:
    """Chains of layers to run one after another, each in tiles.

    A tile's number is its slot. Tiles of a later chain are cropped from what those of
    the one before have yielded, as soon as these are there.
    """

    def __init__(
        self,
        name: str,
        chains: Sequence[CutChain],
        placements: Sequence[Placement],
        inputs: np.ndarray,
        *,
        timeout: float,
        hedged: bool = True,
        verify: Verify = "finite",
        stragglers: int = 0,
        sparse: bool = False,
    ) -> None:
        """Takes what is to be computed.

        Args:
            name: Of the chains, for people.
            chains: The chains, cut for these inputs.
            placements: Where the weights of each are.
            inputs: What the first reads, ``(B, H, W, C)``.
            timeout: Seconds until it is given up.
            hedged: Whether each tile is sent to one worker while none is late;
                otherwise γ + 1 are sent it.
            verify: How results are checked, beyond their shape and type.
            stragglers: γ.
            sparse: Whether zeros are not sent, where they are many.
        """
        self.name = name
        self.sparse = sparse
        self.timeout = timeout
        self.verify = verify
        self.copies = 1 if hedged else stragglers + 1
        """Workers that each tile is sent to at once."""
        self.spare = int(verify == "parity")
        """Results that are to confirm the first of each tile."""
        self.encode_time = 0.0
        """Seconds that cropping took."""
        self._chains = tuple(chains)
        self._placements = tuple(placements)
        self._tiles = [
            (number, tile)
            for number, chain in enumerate(chains)
            for tile in chain.tiles
        ]
        self._maps: list[np.ndarray] = [inputs]
        self._maps += [aligned_empty(chain.shape, chain.dtype) for chain in chains]
        self._infinite: dict[int, set[str]] = {}

    @property
    def outputs(self) -> np.ndarray:
        """What the last chain yields, once all tiles are there."""
        return self._maps[-1]

    @staticmethod
    def kind_of(name: str) -> tuple[str, str]:
        """Returns what workers' usual times for a chain are remembered under.

        Args:
            name: The chain's.
        """
        return "tiles", name

    def pieces(self) -> list[Piece]:
        """Returns the tiles as pieces of work."""
        whole = sum(chain.work for chain in self._chains) or 1
        kind, more = self.kind_of(self.name), len(self._chains) > 1
        return [
            Piece(
                self.kind_of(self._chains[number].name),
                one.size,
                one.home,
                self._needs(number, one.tile),
                (kind, one.size * self._chains[number].work / whole) if more else None,
            )
            for number, one in self._tiles
        ]

    def placement_of(self, slot: int) -> Placement:
        """Returns where the weights are that a tile is computed with."""
        return self._placements[self._tiles[slot][0]]

    def text_of(self, slot: int) -> str:
        """Returns the text of a tile's program."""
        return self._tiles[slot][1].text

    def nbytes_of(self, slot: int) -> int:
        """Returns how many bytes a tile's result must have."""
        shape, dtype = self._result(slot)
        return math.prod(shape) * dtype.itemsize

    def encode(
        self, workers: Sequence[int], allocate: Allocate = lambda nbytes: None
    ) -> list[np.ndarray]:
        """Returns the inputs of some tiles.

        Args:
            workers: The tiles' slots.
            allocate: Gives memory to put them into.
        """
        began, inputs = time.time(), []
        for slot in workers:
            chain, one = self._tiles[slot]
            (crop,) = one.tile.crop([self._maps[chain]])
            memory = allocate(crop.nbytes)
            if memory is None:
                inputs.append(np.ascontiguousarray(crop))
            else:
                own = memory[: crop.nbytes].view(crop.dtype).reshape(crop.shape)
                own[...] = crop
                inputs.append(own)
        self.encode_time += time.time() - began
        return inputs

    def upload_of(self, slots: Iterable[int]) -> int:
        """Returns how many bytes the inputs of some tiles have."""
        tiles = (self._tiles[slot] for slot in slots)
        return sum(
            crop.nbytes
            for chain, one in tiles
            for crop in one.tile.crop([self._maps[chain]])
        )

    def check(self, reply: Reply, slot: int) -> str | None:
        """Returns what is wrong with a worker's reply, or None."""
        return wrong_with(reply, *self._result(slot), self.verify)

    def may_be_infinite(self, slot: int, worker: str) -> bool:
        """Returns whether a true result may be NaN or infinite, as a worker's was.

        It is where the input is so, and where a second worker says the same.
        """
        said = self._infinite.setdefault(slot, set())
        said.add(worker)
        return len(said) > 1 or not all_finite(self._maps[0])

    def keep(self, slot: int, result: np.ndarray) -> None:
        """Puts the result of a tile into its place."""
        chain, one = self._yielded(slot)
        self._maps[chain + 1][slices(one.tile.output)] = result

    def compare(self, slot: int, results: Mapping[str, np.ndarray]) -> frozenset[str]:
        """Returns most of the workers whose results of a tile agree, or none.

        Args:
            slot: The tile's.
            results: By worker, at least two.
        """
        limit = _MARGIN * self._chains[self._tiles[slot][0]].error
        groups = [
            frozenset(
                other for other in results if _close(result, results[other], limit)
            )
            for result in results.values()
        ]
        most = max(groups, key=len)
        return most if 2 * len(most) > len(results) else frozenset()

    def _yielded(self, slot: int) -> tuple[int, CutTile]:
        """Returns the chain and tile whose result a worker gives to the client."""
        return self._tiles[slot]

    def _needs(self, chain: int, tile: Tile) -> frozenset[int]:
        """Returns the tiles of the chain before that a tile's input is part of."""
        (box,) = tile.inputs
        return frozenset(
            slot
            for slot, (number, other) in enumerate(self._tiles)
            if number == chain - 1 and _meet(box, other.tile.output)
        )

    def _result(self, slot: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
        chain, one = self._yielded(slot)
        channels = self._chains[chain].shape[-1]
        return (*map(len, one.tile.output), channels), self._chains[chain].dtype


Work = Job | TileJob
"""What is run on workers at a time."""


def _meet(box: Box, other: Box) -> bool:
    return all(
        max(one.start, two.start) < min(one.stop, two.stop)
        for one, two in zip(box, other, strict=True)
    )


def _close(result: np.ndarray, other: np.ndarray, limit: float) -> bool:
    """Returns whether results are the same up to rounding, each image by itself."""
    one, two = (array.reshape(len(array), -1) for array in (result, other))
    size = np.maximum(np.linalg.norm(one, axis=1), np.linalg.norm(two, axis=1))
    return bool(np.all(np.linalg.norm(one - two, axis=1) <= limit * size))

"""Networks whose chains are cut so that each worker has one tile of every chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from fcdcc_keras.coding.exchange import CutRun
from fcdcc_keras.coding.tiles import CutChain
from fcdcc_keras.partition import Box
from fcdcc_keras.partition.stretch import Stretch, crossings
from fcdcc_keras.partition.tiling import bands, blocks, grid
from fcdcc_keras.worker.weights import Weights
from tests.partition.networks import NETWORKS

Cut = Callable[[Sequence[int]], list[Box]]
"""Gives the boxes of an output, by its shape: of any as many, in the same order."""
CUTS: dict[str, Cut] = {
    "rows": lambda shape: grid(shape, (1, 3, *(1,) * (len(shape) - 3))),
    "grid": lambda shape: grid(shape, (1, *(2,) * (len(shape) - 2))),
    "images": lambda shape: grid(shape, (2, 2, *(1,) * (len(shape) - 3))),
    "uneven": lambda shape: list(bands(shape, (1.0, 2.5)).values()),
    "columns": lambda shape: list(bands(shape, (2.0, 1.0), len(shape) - 2).values()),
    "blocks": lambda shape: list(blocks(shape, (1.0, 1.7, 1.2)).values()),
}


class CutNetwork:
    """A small network in as many chains as it can be cut into, in float64."""

    def __init__(self, name: str, cut: Cut) -> None:
        drawn = NETWORKS[name]()
        (self.inputs,) = drawn.inputs
        self.whole = drawn.whole
        """What comes of all in one."""
        shape = self.inputs.shape
        ends = [(f"value{number}", number) for number in crossings(drawn.program)]
        stretch = Stretch("", "input", drawn.program, shape[1:-1], tuple(ends))
        chains, self.weights = [], list[Weights]()
        for after, to in pairwise([None, *(name for name, _ in ends)]):
            assert to is not None
            chain = stretch.chain(after, to)
            sized = chain.sized(shape)
            shape = sized.shapes[-1]
            boxes = [(f"home{n}", box) for n, box in enumerate(cut(shape))]
            chains.append(CutChain.of(to, sized, boxes))
            self.weights.append(Weights(*(drawn.weights[n] for n in chain.weights)))
        assert len(chains) > 1
        self.run = CutRun(chains)

    def check(self, outputs: np.ndarray) -> None:
        """Holds what came of tiles against the whole."""
        limit = 1e-12 * np.abs(self.whole).max()
        np.testing.assert_allclose(outputs, self.whole, rtol=0, atol=limit)

"""Cutting a layer so that one part is coded while others are on their way."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from fcdcc_keras.partition.geometry import ConvGeometry

MOST = 4


@dataclass(frozen=True)
class Batching:
    """How far the workers are, as far as it matters here."""

    least_bytes: int
    """Input and output of a micro-batch."""
    lanes: int
    """Micro-batches of a layer under way at a time."""


NEAR = Batching(least_bytes=64 << 20, lanes=2)
"""On one machine smaller micro-batches lose more by their round trips, and by the
convolutions' start, than they gain by overlapping: while workers compute one, the
client decodes the one before and encodes the next."""
FAR = Batching(least_bytes=1 << 20, lanes=MOST)
"""Over a network one is sent, one computed and one sent back at the same time."""


@dataclass(frozen=True)
class Part:
    """A micro-batch: some output rows of some images."""

    images: slice
    rows: range


def micro_batches(
    images: int, geometry: ConvGeometry, k_a: int, nbytes: int, batching: Batching
) -> list[Part]:
    """Returns parts of a layer, nearly equal: of the batch, or else of the rows.

    Args:
        images: B, size of the batch.
        geometry: The layer's sizes.
        k_a: Parts that each micro-batch's input is cut into by height.
        nbytes: Bytes of the layer's input and output.
        batching: How large they are at least.
    """
    count = max(1, min(MOST, nbytes // batching.least_bytes))
    across = min(images, count)
    rows = geometry.output_size[0]
    # Cut where no row is wasted, into parts no lower than the kernel is high: of
    # lower ones more than half would be sent twice.
    steps = -(-rows // k_a)
    down = max(1, min(count // across, steps // geometry.dilated_kernel[0]))
    columns = [images * i // across for i in range(across + 1)]
    edges = [min(rows, steps * i // down * k_a) for i in range(down + 1)]
    return [
        Part(slice(a, b), range(c, d))
        for a, b in pairwise(columns)
        for c, d in pairwise(edges)
    ]

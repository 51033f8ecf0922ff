"""Cutting a batch so that one part is coded while another is on its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from threading import Lock

MOST = 4
LEAST_BYTES = 64 << 20
"""Input and output of a micro-batch. On one machine smaller ones lose more by their
round trips, and by the convolutions' start, than they gain by overlapping."""
LANES = 2
"""Micro-batches of a layer under way at a time: while workers compute one, the client
decodes the one before and encodes the next."""


def micro_batches(images: int, nbytes: int) -> list[slice]:
    """Returns parts of a batch, nearly equal.

    Args:
        images: B, size of the batch.
        nbytes: Bytes of the layer's input and output.
    """
    count = max(1, min(images, MOST, nbytes // LEAST_BYTES))
    edges = [images * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def in_lanes(parts: Sequence[slice], run: Callable[[slice], None]) -> None:
    """Runs every part, ``LANES`` at a time, in this thread and another.

    Raises:
        Exception: What the first part that failed raised; parts not begun are left.
    """
    if len(parts) == 1:
        run(parts[0])
        return
    left, lock = list(reversed(parts)), Lock()
    failed: list[BaseException] = []

    def lane() -> None:
        while True:
            with lock:
                if not left or failed:
                    return
                part = left.pop()
            try:
                run(part)
            except BaseException as error:
                failed.append(error)
                if not isinstance(error, Exception):
                    raise  # Ctrl-C waits for nobody

    others = [_threads().submit(lane) for _ in range(LANES - 1)]
    lane()
    for other in others:
        if not other.cancel():  # it has begun
            other.result()
    if failed:
        raise failed[0]


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    # A lane that finds no thread free never begins; the caller's own does all.
    return ThreadPoolExecutor(8, thread_name_prefix="fcdcc-lane")

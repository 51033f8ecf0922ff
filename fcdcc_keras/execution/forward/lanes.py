"""Running the micro-batches of a layer, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Lock

from fcdcc_keras.partition.micro_batches import Part


def in_lanes(parts: Sequence[Part], run: Callable[[Part], None], lanes: int) -> None:
    """Runs every part, some at a time, in this thread and others.

    Args:
        parts: What to run, begun in this order.
        run: Runs one.
        lanes: How many at a time.

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

    others = [_threads().submit(lane) for _ in range(min(lanes, len(parts)) - 1)]
    lane()
    for other in others:
        if not other.cancel():  # it has begun
            other.result()
    if failed:
        raise failed[0]


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    # A lane that finds no thread free never begins; the caller's own does all.
    return ThreadPoolExecutor(12, thread_name_prefix="fcdcc-lane")

"""Cutting an output into tiles: grids, and shares in proportion to workers' speeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate, pairwise, product

from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition.boxes import Box, whole


def shares(length: int, speeds: Sequence[float]) -> list[range]:
    """Returns rows for each worker, one after another, so that all end soonest.

    The largest quotient of rows and speed is as small as it can be; who is too slow
    for a single row has none.

    Args:
        length: Rows.
        speeds: Of the workers, in any unit.

    Raises:
        PlanError: There are no rows, no workers, or speeds that are none.
    """
    _check(length, speeds)
    total = sum(speeds)
    # Rounded down it is never more than what d'Hondt's rule gives anyone.
    rows = [int(speed / total * length) for speed in speeds]
    ends = [((n + 1) / v, i) for i, (n, v) in enumerate(zip(rows, speeds, strict=True))]
    heapify(ends)
    for _ in range(length - sum(rows)):
        _, soonest = heappop(ends)
        rows[soonest] += 1
        heappush(ends, ((rows[soonest] + 1) / speeds[soonest], soonest))
    return [range(*both) for both in pairwise(accumulate(rows, initial=0))]


def grid(shape: Sequence[int], counts: Sequence[int]) -> list[Box]:
    """Returns boxes in a grid, image by image, row by row, as even as can be.

    Args:
        shape: Of the output, ``(B, H, W, C)``.
        counts: Parts of its images, rows, columns; fewer where there are not so many.

    Raises:
        PlanError: A count is missing, or none.
    """
    if len(counts) != len(shape) - 1 or min(counts) < 1:
        raise PlanError(
            "A grid must have at least one part along the images and each axis. "
            f"Received: {tuple(counts)}, of an output of shape {tuple(shape)}. Give a "
            "count for each."
        )
    along = [
        shares(size, (1.0,) * min(size, count))
        for size, count in zip(shape, counts, strict=False)
    ]
    return list(product(*along))


def bands(
    shape: Sequence[int], speeds: Sequence[float], axis: int = 1
) -> dict[int, Box]:
    """Returns a box for each worker, in proportion to its speed, along one axis.

    Args:
        shape: Of the output, ``(B, H, W, C)``.
        speeds: Of the workers, in any unit.
        axis: 0 for images, 1 for rows and so on.

    Returns:
        Boxes by the workers' numbers; who is too slow for a single row has none.

    Raises:
        PlanError: There is no such axis, no worker, or a speed that is none.
    """
    if not 0 <= axis < len(shape) - 1:
        raise PlanError(
            "Bands must lie along the images, rows or columns of an output. Received: "
            f"axis={axis}, of an output of shape {tuple(shape)}. Choose an axis that "
            "it has."
        )
    return {
        worker: _with(whole(shape), axis, rows)
        for worker, rows in enumerate(shares(shape[axis], speeds))
        if rows
    }


def blocks(shape: Sequence[int], speeds: Sequence[float]) -> dict[int, Box]:
    """Returns a box for each worker, in proportion to its speed, by bisection.

    Workers are halved, and so is the longest axis, until each is alone: with less of a
    border than bands.

    Args:
        shape: Of the output, ``(B, H, W, C)``; images are cut where there are no axes.
        speeds: Of the workers, in any unit.

    Returns:
        Boxes by the workers' numbers; for whom nothing was left has none.

    Raises:
        PlanError: There is no worker, or a speed that is none.
    """
    _check(1, speeds)
    axes = range(1, len(shape) - 1) or range(1)
    boxes: dict[int, Box] = {}
    waiting = [(range(len(speeds)), whole(shape))]
    while waiting:
        workers, box = waiting.pop()
        if len(workers) == 1:
            boxes[workers.start] = box
            continue
        axis = max(axes, key=lambda axis: len(box[axis]))
        half = _half(speeds[workers.start : workers.stop])
        groups = workers[:half], workers[half:]
        sums = [sum(speeds[group.start : group.stop]) for group in groups]
        first = box[axis].start
        for group, rows in zip(groups, shares(len(box[axis]), sums), strict=True):
            if rows:
                own = range(first + rows.start, first + rows.stop)
                waiting.append((group, _with(box, axis, own)))
    return dict(sorted(boxes.items()))


def _half(speeds: Sequence[float]) -> int:
    """Returns how many of the first workers are about half of them, by speed."""
    total, before = sum(speeds), list(accumulate(speeds))
    return min(range(1, len(speeds)), key=lambda i: abs(before[i - 1] - total / 2))


def _with(box: Box, axis: int, rows: range) -> Box:
    return (*box[:axis], rows, *box[axis + 1 :])


def _check(length: int, speeds: Sequence[float]) -> None:
    good = all(speed > 0 for speed in speeds) and 0 < sum(speeds) < math.inf
    if length < 1 or not good:
        raise PlanError(
            "At least one row must be shared out among workers whose speeds are "
            f"positive. Received: {length} rows, speeds={list(speeds)}. Leave out "
            "workers that stand still."
        )

"""Whether the results of some workers can all be true: parity on whole results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fcdcc_keras.codes.parity import Parity, parity, rounding_limit
from fcdcc_keras.coding.blas import multiply, single_threaded_blas
from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.coding.decoding import AT_HAND, gather, pieces
from fcdcc_keras.coding.job import Job
from fcdcc_keras.partition import ConvGeometry

Position = tuple[int, int, int, int]
"""Image, row, place in the row and channel of a number in every block."""


@dataclass
class Residual:
    """What is left of one image's results that parity should turn into zeros."""

    largest: float = 0.0
    """Largest number left; NaN where the sums overflow."""
    position: Position = (0, 0, 0, 0)
    """Where it is."""
    size: float = 0.0
    """Largest of the results, each over its g_m."""


def agree(job: Job, results: Mapping[int, np.ndarray]) -> bool:
    """Returns whether results of workers agree, up to rounding.

    Rounding is measured by the results themselves. Where they are small only since
    larger numbers cancelled, it may exceed that; so before results are said to
    disagree, one number of each is computed anew, where they do so most. Each image is
    judged by itself: another's may be larger by far.

    Args:
        job: What the workers were asked.
        results: For each worker its result, of the shape and type of the job, finite.
    """
    workers = sorted(results)
    arrays = [results[w] for w in workers]
    equations = parity(job.code, workers)
    with single_threaded_blas():
        residuals = residuals_of(job, equations, arrays)
    count = arrays[0].size // job.code.ell_a // job.code.ell_b
    count *= equations.matrix.shape[1]

    def is_rounding(residual: Residual) -> bool:
        limit = rounding_limit(job.dtype.name, job.terms, residual.size, count)
        if residual.largest <= limit:
            return True
        if not np.isfinite(residual.largest):
            return False
        numbers = np.array(
            [_blocks(job, array)[_at(residual.position)] for array in arrays]
        )
        expected, sizes = _recompute(job, workers, residual.position)
        limits = rounding_limit(job.dtype.name, job.terms, sizes, count)
        return bool(np.all(np.abs(numbers - expected) <= limits))

    return all(map(is_rounding, residuals))


def residuals_of(
    job: Job, equations: Parity, arrays: list[np.ndarray]
) -> list[Residual]:
    """Applies parity equations to results, some rows at a time.

    Returns:
        What is left of each image.
    """
    results = [_blocks(job, array) for array in arrays]
    _, batch, rows, width, _, f = results[0].shape
    norms, factors = equations.norms, equations.matrix.T.astype(job.dtype)
    left, many = factors.shape
    row = width * f
    at_once = max(1, AT_HAND // ((left + many) * row * job.dtype.itemsize))
    gathered = np.empty(many * at_once * row, job.dtype)
    remains = np.empty(left * at_once * row, job.dtype)
    residuals = [Residual() for _ in range(batch)]
    # Sums of numbers that are too large are not finite: they agree with nothing.
    with np.errstate(over="ignore", invalid="ignore"):
        for images, part in pieces(batch, range(rows), at_once):
            known = gather(results, images, part, gathered)
            count, _, columns = known.shape
            target = remains[: count * left * columns].reshape(count, left, columns)
            multiply(factors, known, target)
            bounds = np.maximum(known.max(axis=2), -known.min(axis=2)) / norms
            for image, remain in enumerate(target):
                residual = residuals[images.start + image]
                high, low = remain.max(), remain.min()
                worst = float(np.maximum(high, -low))
                if worst > residual.largest:
                    flat = int(remain.argmax() if high >= -low else remain.argmin())
                    place = flat % columns
                    r, c, channel = np.unravel_index(place, (columns // row, width, f))
                    where = images.start + image, r + part.start, c, channel
                    residual.position = tuple(map(int, where))
                residual.largest = float(np.maximum(residual.largest, worst))
                residual.size = max(residual.size, float(bounds[image].max()))
    return residuals


def _recompute(
    job: Job, workers: list[int], position: Position
) -> tuple[np.ndarray, np.ndarray]:
    """Computes one number of each result, in float64.

    Returns:
        The numbers, and the sums of the magnitudes of what is summed: both of shape
        ``(len(workers), ℓ_A, ℓ_B)``.
    """
    image, row, column, channel = position
    code, shape = job.code, job.result_shape
    place = (row, *map(int, np.unravel_index(column, shape[2:-1] or (1,))))
    place = place[: len(shape) - 2]
    shares = job.placement.encode(workers)
    coded = job.encode(workers)
    coded = coded.reshape(len(workers), code.ell_a, -1, *coded.shape[2:])[:, :, image]
    geometry, index = job.geometry.at(place)
    places = (slice(None), slice(None), *index)
    patches, kernels = coded[places].astype(np.float64), shares.astype(np.float64)

    def numbers(patches: np.ndarray, kernels: np.ndarray) -> np.ndarray:
        if geometry.kind == "conv" and patches.shape[-1] == kernels.shape[-2]:
            # By far the most usual, and then by far the fastest.
            one = kernels.reshape(*kernels.shape[:-1], code.ell_b, -1)[..., channel]
            return _product(geometry, patches, one)
        each = zip(patches, kernels, strict=True)
        results = np.stack([convolve(x, k, geometry) for x, k in each])
        return results.reshape(*patches.shape[:2], code.ell_b, -1)[..., channel]

    return numbers(patches, kernels), numbers(np.abs(patches), np.abs(kernels))


def _product(
    geometry: ConvGeometry, patches: np.ndarray, kernels: np.ndarray
) -> np.ndarray:
    """Returns plain convolutions that yield one place each.

    Args:
        geometry: Their padding and the gaps in their kernels.
        patches: Shape ``(workers, ℓ_A, H, W, C)``.
        kernels: Shape ``(workers, K_H, K_W, C, ℓ_B)``.

    Returns:
        Shape ``(workers, ℓ_A, ℓ_B)``.
    """
    for axis, (d, (before, _)) in enumerate(
        zip(geometry.dilation_rate, geometry.pads, strict=True)
    ):
        first = -(-before // d)  # the taps above lie in the padding
        rows = range(first * d - before, patches.shape[2 + axis], d)
        patches = patches.take(rows, axis=2 + axis)
        kernels = kernels.take(range(first, first + len(rows)), axis=1 + axis)
    flat = patches.reshape(*patches.shape[:2], -1)
    products: np.ndarray = np.einsum(
        "mat,mtb->mab", flat, kernels.reshape(len(flat), flat.shape[2], -1)
    )
    return products


def _blocks(job: Job, array: np.ndarray) -> np.ndarray:
    """Returns a result as blocks: ``(ℓ_A, B, h', W', ℓ_B, f)``."""
    code, (rows, *width) = job.code, array.shape[1:-1]
    shape = (code.ell_a, -1, rows, math.prod(width), code.ell_b)
    return array.reshape(*shape, array.shape[-1] // code.ell_b)


def _at(position: Position) -> tuple[slice | int, ...]:
    image, row, column, channel = position
    return slice(None), image, row, column, slice(None), channel

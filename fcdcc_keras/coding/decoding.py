"""Decoding: straight from the workers' results into the layer's output.

What ``Decoder.decode`` and the merging of blocks mean together, in one pass over
memory. Block (i, j) has the output's rows from i·h' on and its channels from j·f on,
f = ⌈N/k_B⌉. Result (w, a, b) lies in the array of survivor w, at the images from a·B
on and the channels from b·f on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fcdcc_keras.coding.blas import multiply
from fcdcc_keras.coding.recipe import DecodeRecipe
from fcdcc_keras.partition import AxisPartition

AT_HAND = 1 << 20
"""Bytes of gathered results and computed blocks: about what a core's cache holds."""
_SHORT = 64
"""Bytes of channels up to which copying them as one item is faster."""


def decode(
    recipe: DecodeRecipe,
    along: AxisPartition,
    results: Sequence[np.ndarray],
    output: np.ndarray,
) -> None:
    """Fills in a layer's output.

    Args:
        recipe: What to make of the results.
        along: Where the outputs of the k_A parts lie.
        results: Of each survivor, shape ``(ℓ_A, B, h', W', ℓ_B, f)``, C-contiguous.
        output: Y, shape ``(B, H', W', N)``, dtype of the results, each image
            C-contiguous.
    """
    f = results[0].shape[5]
    for copy in recipe.copies:
        row, channel = copy.i * along.output_rows, copy.j * f
        target = output[:, row : row + along.output_rows]
        target = target[..., channel : channel + copy.count * f]
        # The last blocks may have more rows and channels than the output.
        source = results[copy.survivor][copy.a, :, : target.shape[1]]
        source = source.reshape(*source.shape[:3], -1)[..., copy.b * f :]
        _copy(source[..., : target.shape[3]], target)
    if recipe.blocks:
        _compute(recipe, along, [results[s] for s in recipe.used], output)


def _compute(
    recipe: DecodeRecipe,
    along: AxisPartition,
    results: Sequence[np.ndarray],
    output: np.ndarray,
) -> None:
    """Computes the blocks that are not there as they are, some rows at a time."""
    batch, width, f = results[0].shape[1], results[0].shape[3], results[0].shape[5]
    weights = recipe.weights.astype(output.dtype)
    # Numbers that one row of one image has in all blocks, and in all results.
    in_blocks, in_results = (count * width * f for count in weights.shape)
    many = max(1, AT_HAND // ((in_blocks + in_results) * output.itemsize))
    gathered = np.empty(many * in_results, output.dtype)
    computed = np.empty(many * in_blocks, output.dtype)
    for band in along.output_bands:
        blocks = [(i, j) for i, j in recipe.blocks if i in band.parts]
        if not blocks:
            continue
        first, in_place = blocks[0][0], f == output.shape[3] and _in_line(blocks)
        for images, rows in pieces(batch, band.rows, many):
            known = gather(results, images, rows, gathered)
            shape = (len(known), len(blocks), known.shape[2])
            if in_place:
                below = output[images, first * along.output_rows + rows.start :]
                part = along.output_rows * output.strides[1]
                strides = (output.strides[0], part, output.itemsize)
                target = as_strided(below, shape, strides)
            else:
                target = computed[: math.prod(shape)].reshape(shape)
            multiply(weights[: len(blocks)], known, target)
            if not in_place:
                _scatter(target, blocks, along, output[images], rows)


def gather(
    results: Sequence[np.ndarray], images: slice, rows: slice, memory: np.ndarray
) -> np.ndarray:
    """Returns the results of some rows as matrices: ``(images, m, rows·W'·f)``."""
    pieces = [r[:, images, rows].transpose(1, 0, 4, 2, 3, 5) for r in results]
    count, *shape = pieces[0].shape
    size = len(results) * pieces[0].size
    gathered = memory[:size].reshape(count, len(results), *shape)
    for index, piece in enumerate(pieces):
        _copy(piece, gathered[:, index])
    return gathered.reshape(count, -1, math.prod(shape[2:]))


def _scatter(
    computed: np.ndarray,
    blocks: Sequence[tuple[int, int]],
    along: AxisPartition,
    images: np.ndarray,
    rows: slice,
) -> None:
    """Puts rows of blocks, ``(images, blocks, rows·W'·f)``, into the output."""
    count, _, width, _ = images.shape
    many = rows.stop - rows.start
    computed = computed.reshape(count, len(blocks), many, width, -1)
    f = computed.shape[-1]
    for index, (i, j) in enumerate(blocks):
        row = i * along.output_rows + rows.start
        target = images[:, row : row + many, :, j * f : (j + 1) * f]
        _copy(computed[:, index, ..., : target.shape[3]], target)


def _copy(source: np.ndarray, target: np.ndarray) -> None:
    """Copies arrays whose last axis, a run of channels, is contiguous."""
    run = source.shape[-1] * source.itemsize
    if run <= _SHORT:
        # As one item each: NumPy spends more on the start of a run than on the rest.
        item = np.dtype((np.void, run))
        source, target = source.view(item), target.view(item)
    target[...] = source


def _in_line(blocks: Sequence[tuple[int, int]]) -> bool:
    """Returns whether blocks of all channels follow each other without a gap."""
    return blocks[-1][0] - blocks[0][0] + 1 == len(blocks)


def pieces(batch: int, rows: range, many: int) -> Iterator[tuple[slice, slice]]:
    """Yields images and rows, up to ``many`` rows in all."""
    images = max(1, many // len(rows))
    for image in range(0, batch, images):
        for row in range(rows.start, rows.stop, many):
            yield (
                slice(image, min(image + images, batch)),
                slice(row, min(row + many, rows.stop)),
            )

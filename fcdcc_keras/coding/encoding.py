"""Encoding: straight from the images into what the workers are sent.

What splitting by ``AxisPartition`` and ``Code.encode_input`` mean together,
without the parts ever being there. In a band of rows, part i lies i·h'·s rows below
part 0, so the parts are the rows of a matrix in the image itself, whose leading
dimension is h'·s·W·C, and BLAS reads them where they are.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fcdcc_keras.coding.blas import multiply
from fcdcc_keras.coding.recipe import EncodeRecipe
from fcdcc_keras.partition import AxisPartition
from fcdcc_keras.worker.tensors import Allocate


def encode(
    recipe: EncodeRecipe,
    along: AxisPartition,
    images: np.ndarray,
    allocate: Allocate = lambda nbytes: None,
) -> np.ndarray:
    """Returns coded inputs.

    Args:
        recipe: What to make of the parts.
        along: Where the k_A parts lie.
        images: X, shape ``(B, H, W, C)``, C-contiguous.
        allocate: Where to put them.

    Returns:
        Shape ``(recipe.count, B, Ĥ, W, C)``, dtype of ``images``. Where each is the
        whole image, they are all the memory of ``images``.
    """
    batch, _, width, channels = images.shape
    if along.parts == 1 and not recipe.mixtures:
        memory = allocate(images.nbytes)
        if memory is not None:
            shared = memory.view(images.dtype).reshape(images.shape)
            shared[...] = images
            images = shared
        return as_strided(images, (recipe.count, *images.shape), (0, *images.strides))
    shape = (recipe.count, batch, along.input_rows, width, channels)
    memory = allocate(math.prod(shape) * images.itemsize)
    if memory is None:
        coded = np.empty(shape, images.dtype)
    else:
        coded = memory.view(images.dtype).reshape(shape)
    # All that is left of the rows of pixels is columns of matrices.
    row, step, offset = width * channels, along.step, along.offset
    columns = coded.reshape(recipe.count, batch, along.input_rows * row)
    strides = [images.strides[0], step * row * images.itemsize]
    mixtures = [(run, f.astype(images.dtype)) for run, f in recipe.mixtures]
    for band in along.input_bands:
        target = columns[:, :, band.rows.start * row : band.rows.stop * row]
        parts = band.parts
        if not parts:
            target[...] = 0
            continue
        seen = as_strided(
            images[:, offset + parts.start * step + band.rows.start :],
            (batch, len(parts), target.shape[2]),
            (*strides, images.itemsize),
        )
        for run, factors in mixtures:
            of_parts = factors[:, parts.start : parts.stop]
            multiply(of_parts, seen, target[run].transpose(1, 0, 2))
        for index, part in recipe.copies:
            inside = part in parts
            target[index] = seen[:, part - parts.start] if inside else 0
    return coded

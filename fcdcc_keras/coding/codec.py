"""The client's part of a coded layer: split and encode, decode and merge."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from fcdcc_keras.codes import Code
from fcdcc_keras.codes.linear import unit_rows
from fcdcc_keras.coding.blas import single_threaded_blas
from fcdcc_keras.coding.decoding import decode
from fcdcc_keras.coding.encoding import encode
from fcdcc_keras.coding.magnitudes import scales
from fcdcc_keras.coding.recipe import decode_recipe, encode_recipe
from fcdcc_keras.partition import (
    IMAGES,
    ChannelPartition,
    ConvGeometry,
    Cut,
    Grid,
    best_parts,
)
from fcdcc_keras.worker.tensors import Allocate, aligned_empty


class LayerCodec:
    """Split, encode, decode and merge for one input."""

    def __init__(self, code: Code, geometry: ConvGeometry, inputs: np.ndarray) -> None:
        """Takes the layer's code, its sizes, and X, shape ``(B, H, W, C)``."""
        self.code = code
        self._geometry = geometry
        self._inputs = np.ascontiguousarray(inputs)
        self._channels = ChannelPartition(geometry.filters, code.k_b)
        filters = code.ell_b * self._channels.block_filters
        self.parts = best_parts(geometry, filters, len(inputs), code.k_a)
        """How the input is cut into k_A parts."""
        part = self.parts.part
        images = code.ell_a * self.parts.part_images
        self.result_shape = (images, *part.output_size, filters)
        self.part = part
        start = time.time()
        mixed = _mixes_images(code, self.parts)
        self._scales = scales(self._inputs) if mixed else None
        if self._scales is not None:
            self._inputs = self._inputs * self._scales[0]
        self.encode_time = time.time() - start

    def encode(
        self, workers: Sequence[int], allocate: Allocate = lambda nbytes: None
    ) -> np.ndarray:
        """Returns the coded inputs: ``(len(workers), ℓ_A·B, Ĥ, W, C)``.

        They may share memory with each other and with the input.

        Args:
            workers: Whose.
            allocate: Gives memory to put them into.
        """
        start = time.time()
        parts, channels = self.parts, self._geometry.channels
        with single_threaded_blas():
            if isinstance(parts, Cut):
                recipe = encode_recipe(self.code, tuple(workers))
                seen = self._inputs.reshape(*parts.input_view, channels)
                coded = encode(recipe, parts.partition, seen, allocate)
            else:
                coded = self.code.encode_input(parts.split(self._inputs), workers)
                coded = _moved(coded, allocate)
        self.encode_time += time.time() - start
        size = parts.part.input_size
        return coded.reshape(len(workers), self.result_shape[0], *size, channels)

    def decode(
        self,
        survivors: Sequence[int],
        results: Sequence[np.ndarray],
        output: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the layer's output: ``(B, H', W', N)``, ready to be a tensor.

        Args:
            survivors: Workers whose results these are, in ascending order.
            results: Of ``result_shape`` each.
            output: Where to put it; None: into new memory.
        """
        if output is None:
            output = output_memory(self._geometry, self._inputs)
        with single_threaded_blas():
            if isinstance(self.parts, Cut):
                self._decode_cut(self.parts, survivors, results, output)
            else:
                self._decode_grid(self.parts, survivors, results, output)
        if self._scales is not None:
            output *= self._scales[1]
        return output

    def _decode_cut(
        self,
        cut: Cut,
        survivors: Sequence[int],
        results: Sequence[np.ndarray],
        output: np.ndarray,
    ) -> None:
        code, along = self.code, cut.partition
        recipe = decode_recipe(
            code, tuple(survivors), along.filled_parts, self._channels.filled_parts
        )
        outer, _, inner = cut.output_view
        shape = (code.ell_a, outer, along.output_rows, inner, code.ell_b, -1)
        seen = output.reshape(*cut.output_view, self._geometry.filters)
        decode(recipe, along, [r.reshape(shape) for r in results], seen)
        if not np.may_share_memory(seen, output):  # it is a slice that has no such view
            output[...] = seen.reshape(output.shape)

    def _decode_grid(
        self,
        grid: Grid,
        survivors: Sequence[int],
        results: Sequence[np.ndarray],
        output: np.ndarray,
    ) -> None:
        code, size = self.code, grid.part.output_size
        shape = (
            -1,
            code.ell_a,
            grid.images,
            *size,
            code.ell_b,
            self._channels.block_filters,
        )
        in_order = np.moveaxis(np.stack(results).reshape(shape), -2, 2)
        flat = in_order.reshape(-1, *in_order.shape[3:])
        blocks = code.decoder(survivors).decode(flat)
        grid.merge(blocks.reshape(code.k_a, code.k_b, *blocks.shape[1:]), output)


def _mixes_images(code: Code, parts: Cut | Grid) -> bool:
    """Returns whether coded inputs are sums of images, not images as they are."""
    along_images = isinstance(parts, Cut) and parts.index == IMAGES
    return along_images and not unit_rows(code.input_matrix.T).all()


def _moved(array: np.ndarray, allocate: Allocate) -> np.ndarray:
    memory = allocate(array.nbytes)
    if memory is None:
        return array
    moved = memory.view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def output_memory(geometry: ConvGeometry, inputs: np.ndarray) -> np.ndarray:
    """Returns unset memory for the output of a layer: ``(B, H', W', N)``."""
    shape = (len(inputs), *geometry.output_size, geometry.filters)
    return aligned_empty(shape, inputs.dtype)


def kernel_shares(code: Code, kernel: np.ndarray, workers: Sequence[int]) -> np.ndarray:
    """Returns ``(len(workers), K_H, K_W, C, ℓ_B·⌈N/k_B⌉)``, coded in float64.

    Every worker holds a kernel that is not coded as it is, whatever its shape.
    """
    if code.k_b == 1:
        return np.broadcast_to(kernel, (len(workers), *kernel.shape))
    blocks = ChannelPartition(kernel.shape[-1], code.k_b).split(kernel)
    # What is not finite is judged where the results are checked.
    with single_threaded_blas(), np.errstate(over="ignore", invalid="ignore"):
        coded = code.encode_kernel(blocks.astype(np.float64), workers)
        side_by_side = np.moveaxis(coded, 1, -2).astype(kernel.dtype)
    return side_by_side.reshape(*side_by_side.shape[:-2], -1)

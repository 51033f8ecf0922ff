"""The client's part of a coded layer: split and encode, decode and merge."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fcdcc_keras.codes import Code
from fcdcc_keras.execution.blas import single_threaded_blas
from fcdcc_keras.execution.collector import Collector
from fcdcc_keras.execution.decoding import decode
from fcdcc_keras.execution.encoding import encode
from fcdcc_keras.execution.recipe import decode_recipe, encode_recipe
from fcdcc_keras.execution.subtask import Convolution
from fcdcc_keras.execution.tensors import Allocate, aligned_empty
from fcdcc_keras.partition import ChannelPartition, ConvGeometry, HeightPartition


class Stages:
    """Split, encode, decode and merge for one input."""

    def __init__(self, code: Code, geometry: ConvGeometry, inputs: np.ndarray) -> None:
        """Takes the layer's code, its sizes, and X, shape ``(B, H, W, C)``."""
        self.code = code
        self._inputs = np.ascontiguousarray(inputs)
        self._height = HeightPartition(geometry, code.k_a)
        self._channels = ChannelPartition(geometry.filters, code.k_b)
        self.result_shape = (
            code.ell_a * len(inputs),
            self._height.output_rows,
            geometry.output_size[1],
            code.ell_b * self._channels.block_filters,
        )
        padding = self._height.pad_height
        self.convolution = replace(convolution_of(geometry), pad_height=padding)
        self.encode_time = 0.0

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
        with single_threaded_blas():
            recipe = encode_recipe(self.code, tuple(workers))
            coded = encode(recipe, self._height, self._inputs, allocate)
        self.encode_time += time.time() - start
        return coded.reshape(len(workers), -1, *coded.shape[2:])

    def decode(
        self, collector: Collector, output: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the layer's output: ``(B, H', W', N)``, ready to be a tensor.

        Args:
            collector: What the survivors answered.
            output: Where to put it; None: into new memory.
        """
        code, height, channels = self.code, self._height, self._channels
        recipe = decode_recipe(
            code, collector.survivors, height.filled_parts, channels.filled_parts
        )
        shape = (code.ell_a, len(self._inputs), *self.result_shape[1:3], code.ell_b, -1)
        results = [result.reshape(shape) for result in collector.results]
        if output is None:
            output = output_memory(height.geometry, self._inputs)
        with single_threaded_blas():
            decode(recipe, height, results, output)
        return output


def output_memory(geometry: ConvGeometry, inputs: np.ndarray) -> np.ndarray:
    """Returns unset memory for the output of a layer: ``(B, H', W', N)``."""
    shape = (len(inputs), *geometry.output_size, geometry.filters)
    return aligned_empty(shape, inputs.dtype)


def kernel_shares(code: Code, kernel: np.ndarray, workers: Sequence[int]) -> np.ndarray:
    """Returns ``(len(workers), K_H, K_W, C, ℓ_B·⌈N/k_B⌉)``, coded in float64."""
    blocks = ChannelPartition(kernel.shape[-1], code.k_b).split(kernel)
    # What is not finite is judged where the results are checked.
    with single_threaded_blas(), np.errstate(over="ignore", invalid="ignore"):
        coded = code.encode_kernel(blocks.astype(np.float64), workers)
        side_by_side = np.moveaxis(coded, 1, -2).astype(kernel.dtype)
    return side_by_side.reshape(*side_by_side.shape[:-2], -1)


def convolution_of(geometry: ConvGeometry) -> Convolution:
    """Returns the parameters of a layer's convolution, all its padding included."""
    return Convolution(
        strides=geometry.strides,
        dilation_rate=geometry.dilation_rate,
        pad_height=geometry.pad_height,
        pad_width=geometry.pad_width,
    )

"""The client's part of a coded layer: split and encode, decode and merge."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fcdcc_keras.execution.blas import single_threaded_blas
from fcdcc_keras.execution.collector import Collector
from fcdcc_keras.execution.subtask import Convolution
from fcdcc_keras.partition import ChannelPartition, ConvGeometry, HeightPartition
from fcdcc_keras.planning import LayerPlan


class Stages:
    """Split, encode, decode and merge for one input."""

    def __init__(
        self, plan: LayerPlan, geometry: ConvGeometry, inputs: np.ndarray
    ) -> None:
        self._code = code = plan.code
        self._inputs = inputs
        self._parts: np.ndarray | None = None
        self._height = HeightPartition(geometry, code.k_a)
        self._channels = ChannelPartition(geometry.filters, code.k_b)
        batch, width = len(inputs), geometry.output_size[1]
        self._block = (batch, self._height.output_rows, width)
        filters = self._channels.block_filters
        self.result_shape = (
            code.ell_a * batch,
            *self._block[1:],
            code.ell_b * filters,
        )
        # The parts carry the padding of the height with them.
        self.convolution = replace(convolution_of(geometry), pad_height=(0, 0))
        self.encode_time = 0.0

    def encode(self, workers: Sequence[int]) -> np.ndarray:
        """Returns the coded inputs: ``(len(workers), ℓ_A·B, Ĥ, W, C)``."""
        start = time.time()
        with single_threaded_blas():
            if self._parts is None:
                self._parts = self._height.split(self._inputs)
            coded = self._code.encode_input(self._parts, workers)
        self.encode_time += time.time() - start
        return coded.reshape(len(workers), -1, *coded.shape[3:])

    def decode(self, collector: Collector) -> np.ndarray:
        """Returns the layer's output: ``(B, H', W', N)``."""
        code, filters = self._code, self._channels.block_filters
        survivors = collector.survivors
        shape = (code.ell_a, code.ell_b, *self._block, filters)
        results = np.empty((len(survivors), *shape), self._inputs.dtype)
        for result, array in zip(results, collector.results, strict=True):
            # Worker's order (a, B, h', W', b, channels) to (a, b, B, h', W', …).
            split = array.reshape(code.ell_a, *self._block, code.ell_b, filters)
            result[...] = np.moveaxis(split, -2, 1)
        with single_threaded_blas():
            blocks = code.decoder(survivors).decode(results.reshape(-1, *shape[2:]))
        blocks = blocks.reshape(code.k_a, code.k_b, *blocks.shape[1:])
        by_height = self._channels.merge(np.moveaxis(blocks, 1, 0))
        return np.ascontiguousarray(self._height.merge(by_height))


def kernel_shares(
    plan: LayerPlan, kernel: np.ndarray, workers: Sequence[int]
) -> np.ndarray:
    """Returns ``(len(workers), K_H, K_W, C, ℓ_B·⌈N/k_B⌉)``, coded in float64."""
    blocks = ChannelPartition(plan.geometry.filters, plan.code.k_b).split(kernel)
    with single_threaded_blas():
        coded = plan.code.encode_kernel(blocks.astype(np.float64), workers)
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

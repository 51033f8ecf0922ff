"""Tiles of models are parts of what the whole model computes, to the last digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from benchmarks.chains_table import u_net
from fcdcc_keras.partition import SizedProgram
from fcdcc_keras.partition.boxes import slices
from fcdcc_keras.partition.tiling import grid
from fcdcc_keras.rewriting.graph.programs import program_of
from fcdcc_keras.worker.engines.light import LightEngine
from fcdcc_keras.worker.engines.numpy import NumPyEngine

_GRIDS = ((1, 2, 3), (1, 6, 1), (1, 1, 5))


def _u_net(size: tuple[int, int]) -> tuple[Any, Any]:
    model = u_net(size)
    return model.inputs[0], model.output


def _application(name: str, last: str, **options: Any) -> Any:
    def make(size: tuple[int, int]) -> tuple[Any, Any]:
        kind: Any = getattr(keras.applications, name)
        model = kind(weights=None, include_top=False, input_shape=(*size, 3), **options)
        return model.inputs[0], model.get_layer(last).output

    return make


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (_u_net, (51, 43)),
        (_application("MobileNetV2", "out_relu", alpha=0.35), (65, 98)),
        (_application("ResNet50", "conv3_block1_out"), (59, 67)),
        (_application("InceptionV3", "mixed0"), (87, 91)),
    ],
    ids=["U-Net", "MobileNetV2", "ResNet50", "InceptionV3"],
)
def test_tiles_of_a_model(
    make: Callable[[tuple[int, int]], tuple[Any, Any]], size: tuple[int, int]
) -> None:
    keras.utils.set_random_seed(2)
    x, y = make(size)
    program, weights = program_of([x], y, [size])
    exact = replace(program, dtype="float64")
    images = np.random.default_rng(1).random((1, *size, 3), np.float32)
    sized = SizedProgram(exact, [images.shape])
    for engine, own, most in (
        (NumPyEngine(), exact, 1e-12),
        (LightEngine(), program, 1e-6),
    ):
        given = images.astype(own.dtype)
        arrays = [w.astype(own.dtype) for w in weights]
        whole = engine.prepare(own, arrays)([given])
        for counts in _GRIDS:
            for box in grid(whole.shape, counts):
                tile = sized.tile(box)
                run = engine.prepare(replace(tile.program, dtype=own.dtype), arrays)
                error = abs(run(tile.crop([given])) - whole[slices(box)]).max()
                assert error <= most * abs(whole).max()

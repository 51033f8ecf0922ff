"""Parity on whole results: no false alarm, and every lie found and its author named."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from fcdcc_keras.codes import (
    CRME,
    Chebyshev,
    Code,
    KhatriRao,
    Quaternion,
    Replication,
    Rotation,
    Systematic,
    Vandermonde,
)
from fcdcc_keras.codes.parity import parity, redundant
from fcdcc_keras.coding import agreement
from fcdcc_keras.coding.agreement import agree, residuals_of
from fcdcc_keras.coding.codec import LayerCodec, kernel_shares
from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.coding.job import Job
from fcdcc_keras.coding.verify import judge
from fcdcc_keras.dispatch.verified import VerifiedCollector
from fcdcc_keras.execution.executors.local import LocalExecutor
from fcdcc_keras.partition import ConvGeometry

CODES = [
    CRME(4, 4, 6),
    CRME(8, 1, 6),
    CRME(1, 8, 6),
    CRME(4, 8, 10),
    CRME(8, 8, 20),
    Quaternion(8, 2, 6),
    Quaternion(2, 8, 6),
    Rotation(4, 4, 6),
    Systematic(2, 2, 6),
    Systematic(8, 2, 6, parity="quaternion"),
    KhatriRao(2, 2, 6),
    Chebyshev(2, 2, 6),
    Vandermonde(2, 2, 6),
    Replication(2, 2, 12),
]
"""All of two stragglers or more, and within the usual tolerance."""
GEOMETRIES = [
    ConvGeometry((8, 6), 3, 10, (3, 3), padding="same"),
    ConvGeometry((9, 9), 40, 8, (3, 3), strides=(2, 2)),
    ConvGeometry((7, 8), 5, 9, (2, 3), dilation_rate=(2, 1), padding="same"),
    ConvGeometry((6, 6), 200, 6, (1, 1)),
]
CLEAN = 10_000
LIES = 500


class Layer:
    """A coded layer, and the result of each of its workers, by the real subtask."""

    def __init__(self, code: Code, geometry: ConvGeometry, kernel: np.ndarray) -> None:
        self.code, self.geometry, self.kernel = code, geometry, kernel
        executor = LocalExecutor(code.workers)
        self.placement = executor.place(
            "conv", lambda workers: kernel_shares(code, kernel, workers)
        )

    def run(self, inputs: np.ndarray) -> tuple[Job, dict[int, np.ndarray]]:
        stages = LayerCodec(self.code, self.geometry, inputs)
        job = Job(
            "conv",
            self.code,
            self.placement,
            stages.encode,
            stages.part,
            stages.result_shape,
            inputs.dtype,
            timeout=1.0,
            verify="parity",
            terms=self.geometry.terms,
        )
        workers = range(self.code.workers)
        results = {}
        for worker, coded in zip(workers, stages.encode(workers), strict=True):
            share = self.placement.held[worker]
            results[worker] = convolve(coded, *share.arrays, stages.part)
        return job, results


def _layer(code: Code, geometry: ConvGeometry, dtype: str, rng: Any) -> Layer:
    shape = (*geometry.kernel_size, geometry.channels, geometry.filters)
    return Layer(code, geometry, rng.normal(size=shape).astype(dtype))


def _inputs(layer: Layer, rng: Any, number: int) -> np.ndarray:
    """Returns images of several kinds and magnitudes."""
    shape = (3, *layer.geometry.input_size, layer.geometry.channels)
    x = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7)
    kinds = [
        x,
        np.maximum(x, 0),
        x + 5 * np.abs(x).max(),
        x * (rng.random(shape) < 0.1),
    ]
    return kinds[number % len(kinds)].astype(layer.kernel.dtype)


def _sets(code: Code, spare: int, count: int, rng: Any) -> Iterator[list[int]]:
    """Yields sets of workers of all sizes whose answers suffice without any so many."""
    sizes = range(code.recovery_threshold + spare, code.workers + 1)
    while count:
        size = sizes[count % len(sizes)]
        workers = sorted(rng.choice(code.workers, size, replace=False).tolist())
        if redundant(code, workers, spare):
            count -= 1
            yield workers


def test_ten_thousand_clean_results_give_no_false_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    anew = []

    def counted(*args: Any) -> Any:
        anew.append(args)
        return recompute(*args)

    recompute = agreement._recompute
    monkeypatch.setattr(agreement, "_recompute", counted)
    rng = np.random.default_rng(0)
    cases = list(product(CODES, GEOMETRIES, ("float32", "float64")))
    checked = 0
    for code, geometry, dtype in cases:
        layer = _layer(code, geometry, dtype, rng)
        for number in range(4):
            job, results = layer.run(_inputs(layer, rng, number))
            for workers in _sets(code, 1, -(-CLEAN // (4 * len(cases))), rng):
                assert agree(job, {w: results[w] for w in workers}), (code, workers)
                checked += 1
    assert checked >= CLEAN
    assert not anew  # not one of them was even doubted


def _one_number(result: np.ndarray, rng: Any) -> np.ndarray:
    altered = result.copy()
    size = 1e-2 * np.sqrt(np.mean(np.square(result, dtype=np.float64)))
    altered.flat[rng.integers(result.size)] += rng.choice([-1, 1]) * size
    return altered


def _swapped(code: Code, result: np.ndarray) -> np.ndarray:
    """Returns a result whose blocks, or images where there is but one, are swapped."""
    blocks = result.reshape(
        code.ell_a, -1, *result.shape[1:3], code.ell_b, result.shape[3] // code.ell_b
    )
    axis = 0 if code.ell_a > 1 else 4 if code.ell_b > 1 else 1
    return np.ascontiguousarray(np.flip(blocks, axis)).reshape(result.shape)


def test_hundreds_of_lies_are_found_and_their_authors_named() -> None:
    rng = np.random.default_rng(1)
    cases = list(product(CODES, GEOMETRIES, ("float32", "float64")))
    found = 0
    for code, geometry, dtype in cases:
        layer = _layer(code, geometry, dtype, rng)
        _, before = layer.run(_inputs(layer, rng, 0))
        job, results = layer.run(_inputs(layer, rng, 1))
        for workers in _sets(code, 2, -(-LIES // (4 * len(cases))), rng):
            liar = int(rng.choice(workers))
            lies = (
                _one_number(results[liar], rng),
                -results[liar],
                _swapped(code, results[liar]),
                before[liar],
            )
            for kind, lie in enumerate(lies):
                collector = VerifiedCollector(job.code, [str(w) for w in results])
                for worker in workers:
                    collector.answered(worker, 0.0, lie.nbytes)
                given = collector.question()
                assert given is not None
                answers = {w: results[w] for w in workers} | {liar: lie}
                named = collector.judged(judge(job, given, answers))
                assert named == (str(liar),), (code, geometry, dtype, workers, kind)
                assert collector.complete
                used = {r.worker for r in collector.records if r.outcome == "used"}
                assert used == set(workers) - {liar}
                assert used.issuperset(collector.survivors)
                found += 1
    assert found >= LIES


KINDS = [
    (CRME(4, 4, 6), ConvGeometry((9, 8), 3, 8, (3, 2), (2, 3), padding="same"), None),
    (CRME(8, 1, 6), ConvGeometry((9, 8), 4, 6, (3, 3), groups=2), (3, 3, 2, 6)),
    (CRME(8, 1, 6), ConvGeometry((19,), 3, 4, (3,), padding="causal"), None),
    (CRME(4, 4, 6), ConvGeometry((4, 5, 6), 2, 4, (2, 3, 2), (1, 2, 1)), None),
    (
        CRME(8, 1, 6),
        ConvGeometry((9, 8), 3, 6, (3, 3), padding="same", kind="depthwise"),
        (3, 3, 3, 2),
    ),
    (
        CRME(8, 1, 6),
        ConvGeometry((9, 8), 3, 5, (3, 2), kind="separable", depth_multiplier=2),
        (3 * 2 * 6 + 6 * 5,),
    ),
    (
        CRME(8, 1, 6),
        ConvGeometry((9, 8), 3, 4, (3, 2), (2, 3), kind="transposed"),
        (3, 2, 4, 3),
    ),
    (CRME(1, 8, 6), ConvGeometry((7,), 5, 12, (1,), kind="dense"), (5, 12)),
]


@pytest.mark.parametrize(("code", "geometry", "kernel"), KINDS, ids=str)
def test_a_number_of_any_kind_is_computed_anew(
    code: Code, geometry: ConvGeometry, kernel: tuple[int, ...] | None
) -> None:
    rng = np.random.default_rng(4)
    plain = (*geometry.kernel_size, geometry.channels, geometry.filters)
    layer = Layer(code, geometry, rng.normal(size=kernel or plain))
    job, results = layer.run(_inputs(layer, rng, 0))
    workers = [1, 2, 5]
    blocks = [agreement._blocks(job, results[w]) for w in workers]
    _, images, rows, columns, _, filters = blocks[0].shape
    for _ in range(20):
        shape = images, rows, columns, filters
        position = tuple(int(n) for n in rng.integers(shape))
        numbers, sizes = agreement._recompute(job, workers, position)
        known = np.array([block[agreement._at(position)] for block in blocks])
        assert numbers.shape == known.shape == (3, code.ell_a, code.ell_b)
        assert (np.abs(numbers) <= sizes * (1 + 1e-12)).all()
        np.testing.assert_allclose(known, numbers, atol=1e-12 * sizes.max())
    assert agree(job, results)


def test_rounding_of_numbers_that_cancel_is_no_lie() -> None:
    """The images are all but constant, and the kernel's weights add up to nothing."""
    rng = np.random.default_rng(2)
    geometry = ConvGeometry((10, 6), 16, 8, (3, 3))  # no part is padded
    kernel = rng.normal(size=(3, 3, 16, 8))
    kernel -= kernel.mean(axis=(0, 1, 2))
    layer = Layer(CRME(4, 4, 6), geometry, kernel.astype("float32"))
    x = 1e4 + rng.normal(size=(2, 10, 6, 16)) * 1e-3
    job, results = layer.run(x.astype("float32"))
    residuals = residuals_of(job, parity(job.code, range(6)), list(results.values()))
    residual = max(residuals, key=lambda residual: residual.largest)
    assert residual.largest > 1e-3 * residual.size  # nothing but rounding
    assert agree(job, results)
    results[3] = results[3] + np.float32(residual.size)
    assert not agree(job, results)


def test_the_largest_residual_is_found_wherever_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    layer = _layer(CRME(4, 4, 6), GEOMETRIES[0], "float64", rng)
    job, results = layer.run(_inputs(layer, rng, 0))
    equations = parity(job.code, range(6))
    f = job.result_shape[3] // 2
    for at_hand in (1, 5_000, 1 << 20):
        monkeypatch.setattr(agreement, "AT_HAND", at_hand)
        for image, row, column, channel in [(0, 0, 0, 0), (1, 1, 5, 2), (0, 1, 3, 1)]:
            altered = results[2].copy()
            altered[3 + image, row, column, f + channel] += np.abs(altered).max()
            arrays = [altered if w == 2 else results[w] for w in range(6)]
            residuals = residuals_of(job, equations, arrays)
            residual = max(residuals, key=lambda residual: residual.largest)
            assert residual.position == (image, row, column, channel)


def test_what_overflows_agrees_with_nothing() -> None:
    rng = np.random.default_rng(4)
    layer = _layer(CRME(4, 4, 6), GEOMETRIES[0], "float32", rng)
    job, results = layer.run(_inputs(layer, rng, 0))
    results[1] = np.full_like(results[1], np.finfo(np.float32).max)
    assert not agree(job, results)
    results[0] = -results[1]
    assert not agree(job, results)

"""Micro-batches: how a batch is cut, and that its parts overlap."""

import threading

import numpy as np
import pytest

from fcdcc_keras.codes import CRME
from fcdcc_keras.errors import NotEnoughWorkersError
from fcdcc_keras.execution import micro_batches as module
from fcdcc_keras.execution.local import LOST, LocalExecutor
from fcdcc_keras.execution.micro_batches import (
    LEAST_BYTES,
    MOST,
    in_lanes,
    micro_batches,
)
from fcdcc_keras.execution.pipeline import CodedConvolution
from fcdcc_keras.execution.records import Policy
from fcdcc_keras.execution.stages import convolution_of
from fcdcc_keras.execution.subtask import convolve
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import LayerPlan


@pytest.mark.parametrize("images", [1, 2, 7, 16, 100])
@pytest.mark.parametrize("nbytes", [0, LEAST_BYTES, 3 * LEAST_BYTES, 1 << 40])
def test_parts_cover_the_batch_once_and_are_large_enough(images, nbytes):
    parts = micro_batches(images, nbytes)
    covered = [i for part in parts for i in range(part.start, part.stop)]
    assert covered == list(range(images))
    assert len(parts) <= MOST
    assert len(parts) == 1 or nbytes / len(parts) >= LEAST_BYTES
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_two_parts_are_under_way_at_a_time():
    both, seen = threading.Barrier(2, timeout=20), []

    def run(part):
        both.wait()
        seen.append(part)

    in_lanes([slice(i, i + 1) for i in range(6)], run)
    assert sorted(part.start for part in seen) == list(range(6))


def test_the_first_failure_is_raised_and_ends_the_rest():
    ran = []

    def run(part):
        ran.append(part.start)
        raise ValueError(str(part.start))

    with pytest.raises(ValueError, match=r"[01]"):
        in_lanes([slice(i, i + 1) for i in range(50)], run)
    assert len(ran) <= module.LANES


class Layer:
    def __init__(self, faults=None, **policy):
        geometry = ConvGeometry((12, 10), 3, 8, (3, 3), padding="same")
        self.plan = LayerPlan.of("conv", geometry, CRME(4, 4, 6))
        self.records = []
        policy = Policy(listeners=[self.records.append], **policy)
        self.executor = LocalExecutor(6, faults)
        self.coded = CodedConvolution(self.plan, self.executor, policy)
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(11, 12, 10, 3))
        self.k = rng.normal(size=(3, 3, 3, 8))
        self.expected = convolve(self.x, self.k, convolution_of(geometry))


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "LEAST_BYTES", 1000)


@pytest.mark.usefixtures("small_parts")
def test_a_layer_in_micro_batches_gives_the_same():
    layer = Layer(lambda call, worker: LOST if worker == call % 6 else None)
    np.testing.assert_allclose(layer.coded(layer.x, layer.k), layer.expected, atol=1e-9)
    assert len(layer.records) == MOST
    assert len({record.survivors for record in layer.records}) > 1
    assert all(record.local is None for record in layer.records)


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_fails_is_computed_in_the_client_alone():
    layer = Layer(lambda call, worker: LOST if call == 3 else None)
    with pytest.warns(RuntimeWarning, match="needs the results"):
        outputs = layer.coded(layer.x, layer.k)
    np.testing.assert_allclose(outputs, layer.expected, atol=1e-9)
    assert [r.local for r in layer.records].count("too few workers") == 1
    strict = Layer(lambda call, worker: LOST if call == 3 else None, fallback="raise")
    with pytest.raises(NotEnoughWorkersError):
        strict.coded(strict.x, strict.k)

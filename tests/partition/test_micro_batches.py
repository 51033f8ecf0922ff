"""Micro-batches: how a batch is cut, and that its parts overlap."""

import threading

import numpy as np
import pytest

from fcdcc_keras.codes import CRME
from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.errors import NotEnoughWorkersError
from fcdcc_keras.execution.executors.local import LOST, LocalExecutor
from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
from fcdcc_keras.execution.forward.lanes import in_lanes
from fcdcc_keras.execution.records import Notes, Policy
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.micro_batches import MOST, Batching, Part, micro_batches
from fcdcc_keras.planning import LayerPlan

FINE = Batching(least_bytes=1000, lanes=2)


def geometry_of(rows, high=3, **options):
    return ConvGeometry((rows, 4), 1, 1, (high, 1), padding="same", **options)


@pytest.mark.parametrize("images", [1, 2, 3, 7, 16, 100])
@pytest.mark.parametrize("nbytes", [0, 1000, 3500, 1 << 40])
@pytest.mark.parametrize("rows", [1, 5, 14, 56, 224])
@pytest.mark.parametrize("k_a", [1, 4, 8])
def test_parts_cover_the_output_once_and_are_large_enough(images, nbytes, rows, k_a):
    parts = micro_batches(images, geometry_of(rows), k_a, nbytes, FINE)
    covered = np.zeros((images, rows), int)
    for part in parts:
        covered[part.images, part.rows.start : part.rows.stop] += 1
    assert (covered == 1).all()
    assert len(parts) <= MOST
    assert len(parts) == 1 or nbytes / len(parts) >= FINE.least_bytes
    sizes = [part.images.stop - part.images.start for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("images", "rows", "high", "edges"),
    [
        (1, 224, 3, [0, 56, 112, 168, 224]),  # 28 rows a part, in four bands
        (1, 56, 3, [0, 24, 56]),  # bands of less than 3 rows a part would be three
        (1, 40, 3, [0, 40]),
        (1, 56, 1, [0, 8, 24, 40, 56]),
        (1, 100, 3, [0, 24, 48, 72, 100]),  # a row is wasted at the end alone
        (2, 224, 3, [0, 112, 224]),
        (4, 224, 3, [0, 224]),
        (9, 224, 3, [0, 224]),
    ],
)
def test_few_images_are_cut_into_bands_of_rows(images, rows, high, edges):
    parts = micro_batches(images, geometry_of(rows, high), 8, 1 << 40, FINE)
    first = [part.rows for part in parts if part.images.start == 0]
    assert [first[0].start, *(rows.stop for rows in first)] == edges


def test_two_parts_are_under_way_at_a_time():
    both, seen = threading.Barrier(2, timeout=20), []

    def run(part):
        both.wait()
        seen.append(part)

    in_lanes([Part(slice(0), range(i)) for i in range(6)], run, 2)
    assert sorted(len(part.rows) for part in seen) == list(range(6))


def test_the_first_failure_is_raised_and_ends_the_rest():
    ran = []

    def run(part):
        ran.append(part)
        raise ValueError(str(len(part.rows)))

    with pytest.raises(ValueError, match=r"[012]"):
        in_lanes([Part(slice(0), range(i)) for i in range(50)], run, 3)
    assert len(ran) <= 3


class Layer:
    def __init__(self, faults=None, images=11, **policy):
        geometry = ConvGeometry((50, 10), 3, 8, (3, 3), padding="same")
        self.plan = LayerPlan.of("conv", geometry, CRME(4, 4, 6))
        self.records = []
        self.executor = LocalExecutor(6, faults)
        notes = Notes([self.records.append])
        self.coded = CodedConvolution(self.plan, self.executor, Policy(**policy), notes)
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(images, 50, 10, 3))
        self.k = rng.normal(size=(3, 3, 3, 8))
        self.expected = convolve(self.x, self.k, geometry)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(LocalExecutor, "batching", FINE)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("images", [1, 2, 11])
def test_a_layer_in_micro_batches_gives_the_same(images):
    layer = Layer(lambda call, worker: LOST if worker == call % 6 else None, images)
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

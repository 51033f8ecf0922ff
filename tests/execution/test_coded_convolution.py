"""A coded layer from its input to its output gives the plain convolution."""

import warnings
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from fcdcc_keras.codes import CRME, Code, Uncoded
from fcdcc_keras.errors import NotEnoughWorkersError
from fcdcc_keras.execution.executors.local import LOST, LocalExecutor, LocalFault
from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
from fcdcc_keras.execution.records import LayerRecord, Notes, Policy
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import LayerPlan
from fcdcc_keras.worker.weights import Weights

CODE = CRME(4, 4, 6)  # any 4 of 6
GEOMETRY = ConvGeometry((9, 7), 3, 6, (3, 3), padding="same")
_RNG = np.random.default_rng(0)
INPUTS = _RNG.standard_normal((2, 9, 7, 3))
KERNEL = _RNG.standard_normal((3, 3, 3, 6))


class Layer:
    """A coded convolution on a LocalExecutor, and what was recorded of it."""

    def __init__(
        self,
        code: Code = CODE,
        geometry: ConvGeometry = GEOMETRY,
        faults: Any = None,
        **policy: Any,
    ) -> None:
        self.plan = LayerPlan.of("block/conv", geometry, code)
        self.executor = LocalExecutor(code.workers, faults)
        self.records: list[LayerRecord] = []
        notes = Notes([self.records.append])
        self.coded = CodedConvolution(self.plan, self.executor, Policy(**policy), notes)

    def check(self, x: np.ndarray = INPUTS, k: np.ndarray = KERNEL) -> LayerRecord:
        """Calls the layer; its result must be TensorFlow's, up to rounding."""
        outputs, plain = self.coded(x, k), _plain(self.plan.geometry, x, k)
        record = self.records[-1]
        assert outputs.shape == plain.shape
        assert outputs.dtype == plain.dtype
        alpha = self.plan.code.decoder(record.survivors).amplification
        terms = k[..., 0].size + self.plan.code.k_a + self.plan.code.k_b
        largest = np.abs(x).max() * np.abs(k).max() * k[..., 0].size
        atol = 2 * alpha * terms * np.finfo(x.dtype).eps * largest
        np.testing.assert_allclose(outputs, plain, rtol=0, atol=atol)
        return record

    def check_local(self) -> LayerRecord:
        """Calls the layer, which must compute in the client."""
        plain = _plain(self.plan.geometry, INPUTS, KERNEL)
        np.testing.assert_array_equal(self.coded(INPUTS, KERNEL), plain)
        return self.records[-1]


def _plain(geometry: ConvGeometry, x: np.ndarray, k: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    g = geometry
    padding, dilations = g.padding.upper(), g.dilation_rate
    return tf.nn.conv2d(x, k, g.strides, padding, dilations=dilations).numpy()


@pytest.fixture
def subtasks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of what was convolved on workers."""
    shapes: list[tuple[int, ...]] = []

    def counted(share: Weights, *arguments: Any) -> Any:
        shapes.append(arguments[0].shape)
        return run(share, *arguments)

    run = Weights.run
    monkeypatch.setattr(Weights, "run", counted)
    return shapes


@pytest.mark.parametrize("survivors", list(combinations(range(6), 4)), ids=str)
def test_every_survivor_set_gives_the_plain_convolution(
    survivors: tuple[int, ...], subtasks: list[tuple[int, ...]]
) -> None:
    missing = set(range(6)) - set(survivors)
    record = Layer(faults=dict.fromkeys(missing, LOST)).check()
    assert record.local is None
    assert record.survivors == survivors
    outcomes = [subtask.outcome for subtask in record.subtasks]
    assert outcomes == ["used" if w in survivors else "late" for w in range(6)]
    # Two inputs for two images each; 2 columns of output need 4 of input.
    assert subtasks == [(4, 9, 4, 3)] * 4


@pytest.mark.parametrize(
    "code",
    [CRME(1, 8, 6), CRME(8, 1, 6), CRME(4, 8, 9), CRME(1, 1, 2), Uncoded(2, 3, 6)],
    ids=str,
)
@pytest.mark.parametrize(
    "geometry",
    [
        GEOMETRY,
        ConvGeometry((13, 8), 3, 6, (3, 2), (2, 3)),
        ConvGeometry((11, 9), 2, 5, (2, 3), (1, 1), (3, 2), "same"),
    ],
    ids=["plain", "strides", "dilation"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_and_geometries(
    code: Code, geometry: ConvGeometry, dtype: type, subtasks: list[tuple[int, ...]]
) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, *geometry.input_size, geometry.channels))
    k = rng.standard_normal(
        (*geometry.kernel_size, geometry.channels, geometry.filters)
    )
    layer = Layer(
        code, geometry, faults=lambda call, worker: LocalFault(delay=9.0 - worker)
    )
    record = layer.check(x.astype(dtype), k.astype(dtype))
    first = code.workers - code.recovery_threshold
    assert record.survivors == tuple(range(first, code.workers))
    assert len(subtasks) == code.recovery_threshold


def test_the_kernel_is_placed_once_for_as_long_as_it_is_the_same() -> None:
    layer = Layer()
    placement = layer.coded.place(KERNEL)
    assert layer.executor.placements == [placement]
    assert placement.name == "block/conv"
    assert placement.held[0].arrays[0].shape == (3, 3, 3, 2 * 2)
    layer.check()
    layer.check(k=KERNEL.copy())
    assert layer.executor.placements == [placement]


@pytest.mark.parametrize("in_place", [False, True])
def test_a_change_of_the_kernel_is_picked_up(in_place: bool) -> None:
    layer, kernel = Layer(), KERNEL.copy()
    layer.check(k=kernel)
    (before,) = layer.executor.placements
    if in_place:
        kernel[1, 1, 0, 3] += 1.0
    else:
        kernel = kernel + 1.0
    layer.check(k=kernel)
    (after,) = layer.executor.placements
    assert after is not before
    assert not before.held


def test_kernels_are_compared_by_their_bits() -> None:
    layer, kernel = Layer(), KERNEL.copy()
    kernel[0, 0, 0, 0] = np.nan
    kernel[0, 0, 0, 1] = 0.0
    placement = layer.coded.place(kernel)
    assert layer.coded.place(kernel.copy()) is placement
    kernel[0, 0, 0, 1] = -0.0
    assert layer.coded.place(kernel) is not placement
    assert layer.coded.place(kernel.astype(np.float32)) is not placement


def test_memory_that_nobody_may_write_to_is_compared_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, kernel, compared = Layer(), KERNEL.copy(), []
    equal = np.array_equal

    def counted(one: np.ndarray, other: np.ndarray) -> bool:
        compared.append(one)
        return equal(one, other)

    placement = layer.coded.place(KERNEL)
    monkeypatch.setattr(np, "array_equal", counted)
    kernel.flags.writeable = False
    for _ in range(3):
        assert layer.coded.place(kernel) is placement
    assert len(compared) == 1
    kernel = kernel + 1.0
    kernel.flags.writeable = False
    assert layer.coded.place(kernel) is not placement


@pytest.mark.parametrize("place", [0, KERNEL.size // 2, KERNEL.size - 1])
def test_kernels_are_compared_whole(place: int) -> None:
    layer, kernel = Layer(), KERNEL.copy()
    placement = layer.coded.place(kernel)
    kernel.reshape(-1)[place] *= -1
    assert layer.coded.place(kernel) is not placement


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kernel_that_could_not_be_placed_is_not_taken_for_placed(
    error: type[BaseException], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = Layer()
    layer.check()
    place = layer.executor.place

    def fail(*arguments: Any, **options: Any) -> Any:
        if when == "after":
            place(*arguments, **options)
        raise error

    changed = KERNEL + 1.0
    with monkeypatch.context() as patch:
        patch.setattr(layer.executor, "place", fail)
        for _ in range(2):
            with pytest.raises(error):
                layer.coded(INPUTS, changed)
    layer.check(k=changed)
    layer.check()


def test_a_warning_that_did_not_get_out_is_given_again() -> None:
    layer = Layer(faults=_TROUBLE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(RuntimeWarning, match="needs the results"):
                layer.coded(INPUTS, KERNEL)
    with pytest.warns(RuntimeWarning, match="needs the results"):
        layer.check_local()


@pytest.mark.parametrize("size", [(3, 5), (9, 20), (40, 7)])
def test_inputs_of_another_size_than_planned_for(
    size: tuple[int, int], subtasks: list[tuple[int, ...]]
) -> None:
    layer = Layer()
    layer.check()
    layer.check(np.random.default_rng(2).standard_normal((1, *size, 3)))
    assert len(subtasks) == 8
    assert len(layer.executor.placements) == 1


def test_an_empty_batch_stays_in_the_client(subtasks: list[tuple[int, ...]]) -> None:
    layer = Layer()
    assert layer.coded(INPUTS[:0], KERNEL).shape == (0, 9, 7, 6)
    assert layer.records[-1].local == "empty batch"
    assert layer.records[-1].subtasks == ()
    assert subtasks == []


def _wrong(layer: Layer, *workers: int) -> None:
    """Gives workers shares that are another layer's."""
    placement = layer.coded.place(KERNEL)
    for worker in workers:
        placement.held[worker] = Weights(np.ones((3, 3, 3, 5)))


def test_a_result_of_wrong_shape_is_an_erasure(subtasks: list[tuple[int, ...]]) -> None:
    layer = Layer()
    _wrong(layer, 0, 3)
    record = layer.check()
    assert record.survivors == (1, 2, 4, 5)
    assert [record.subtasks[w].outcome for w in (0, 3)] == ["failed"] * 2
    assert "weights of a program must be" in record.subtasks[0].detail
    assert len(subtasks) == 6


_TROUBLE = {0: LOST, 2: LocalFault(error="out of memory"), 5: LocalFault(delay=61.0)}


def test_too_few_workers_are_made_up_for_and_warned_of_once() -> None:
    layer = Layer(faults=_TROUBLE)
    match = r"'block/conv' needs .*Received: 3 \(timeout=60 s\); "
    with pytest.warns(RuntimeWarning, match=match) as caught:
        record = layer.check_local()
    assert len(caught) == 1
    assert record.local == "too few workers"
    assert record.survivors == ()
    outcomes = ["late", "used", "failed", "used", "used", "late"]
    assert [subtask.outcome for subtask in record.subtasks] == outcomes
    assert layer.check_local().local == "too few workers"  # no second warning
    layer.executor.faults = {}
    assert layer.check().local is None


def test_too_few_workers_can_be_an_error() -> None:
    layer = Layer(faults=_TROUBLE, fallback="raise", timeout=7.5)
    _wrong(layer, 1)
    with pytest.raises(NotEnoughWorkersError, match="'block/conv'") as caught:
        layer.coded(INPUTS, KERNEL)
    message = str(caught.value)
    assert "needs the results of 4 workers" in message
    assert "Received: 2 (timeout=7.5 s)" in message
    for fate in ("local-0: late", "local-2: failed (out of memory)", "local-5: late"):
        assert fate in message
    assert "local-1: failed (PlanError: The weights" in message
    assert "local-3" not in message
    assert "fallback='local'" in message
    layer.executor.faults = {}
    layer.check()


def test_the_timeout_of_the_policy_holds() -> None:
    script = {w: LocalFault(delay=float(w)) for w in range(6)}
    assert Layer(faults=script, timeout=3.0).check().survivors == (0, 1, 2, 3)
    with pytest.raises(NotEnoughWorkersError, match=r"Received: 3 \(timeout=2.5 s\)"):
        Layer(faults=script, timeout=2.5, fallback="raise").check()


def test_detached_layers_compute_in_the_client(subtasks: list[tuple[int, ...]]) -> None:
    layer = Layer()
    layer.check()
    (placement,) = layer.executor.placements
    layer.coded.detach()
    layer.coded.detach()
    assert layer.executor.placements == []
    assert not placement.held
    assert layer.check_local().local == "not on a cluster"
    assert len(subtasks) == 4


def test_times_are_recorded() -> None:
    record = Layer().check()
    assert record.layer == "block/conv"
    assert record.started > 1.6e9
    assert min(record.encode, record.decode) > 0
    assert record.collect >= 0
    used = [subtask for subtask in record.subtasks if subtask.outcome == "used"]
    assert all(s.started <= s.finished for s in used)
    assert {s.bytes_sent for s in record.subtasks} == {4 * 9 * 4 * 3 * 8}
    assert {s.bytes_received for s in used} == {4 * 9 * 2 * 4 * 8}

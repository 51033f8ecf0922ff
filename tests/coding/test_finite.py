"""Results that are not finite: a worker's fault, or that of the input."""

import numpy as np
import pytest

from fcdcc_keras.codes import CRME, Code, Systematic
from fcdcc_keras.coding.finite import all_finite, bounded
from fcdcc_keras.execution.executors.local import LocalExecutor, LocalFault
from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
from fcdcc_keras.execution.records import LayerRecord, Notes, Policy
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import LayerPlan

GEOMETRY = ConvGeometry((9, 7), 3, 6, (3, 3), padding="same")
CODES = [CRME(4, 4, 6), Systematic(2, 2, 6)]
_RNG = np.random.default_rng(0)
INPUTS = _RNG.standard_normal((2, 9, 7, 3)).astype("float32")
KERNEL = _RNG.standard_normal((3, 3, 3, 6)).astype("float32")
VALUES = [np.nan, np.inf, -np.inf]
LARGEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_finite_is_about_each_number_not_their_sum(dtype: str) -> None:
    array = np.full((3, 1000), np.finfo(dtype).max, dtype)
    assert all_finite(array)
    array[1] *= -1
    assert all_finite(array)
    for value in VALUES:
        array[2, 500] = value
        assert not all_finite(array)
    array[0, 0], array[2, 500] = np.inf, -np.inf
    assert not all_finite(array)


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_bounded_is_about_what_coding_may_make_of_it(code: Code) -> None:
    assert bounded(code, GEOMETRY, INPUTS, KERNEL)
    assert bounded(code, GEOMETRY, INPUTS * 1e15, KERNEL * 1e15)
    for value in [*VALUES, LARGEST, -LARGEST]:
        x, k = INPUTS.copy(), KERNEL.copy()
        x[1, 2, 3, 0] = k[1, 1, 1, 1] = value
        assert not bounded(code, GEOMETRY, x, KERNEL)
        assert not bounded(code, GEOMETRY, INPUTS, k)
    assert bounded(code, GEOMETRY, INPUTS.astype(np.float64) * LARGEST, KERNEL)


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_bounded_is_about_the_sum_of_all_products(code: Code) -> None:
    """Each product is finite by far; 27 of them are not."""
    size = np.float32(LARGEST / 20) ** np.float32(0.5)
    x, k = np.full_like(INPUTS, size), np.full_like(KERNEL, size)
    with np.errstate(over="ignore"):
        assert np.isfinite(size * size)
        assert np.isinf(np.full(27, size * size).sum())
    assert not bounded(code, GEOMETRY, x, k)
    record = Layer(code).check(x, k)
    assert record.local is not None
    assert "too large" in record.local


class Layer:
    def __init__(
        self, code: Code, verify: str = "finite", **faults: LocalFault
    ) -> None:
        script = {int(name[1:]): fault for name, fault in faults.items()}
        self.executor = LocalExecutor(6, script)
        self.records: list[LayerRecord] = []
        policy = Policy(fallback="raise", verify=verify)
        notes = Notes([self.records.append])
        plan = LayerPlan.of("conv", GEOMETRY, code)
        self.coded = CodedConvolution(plan, self.executor, policy, notes)

    def check(self, x: np.ndarray, k: np.ndarray) -> LayerRecord:
        import tensorflow as tf

        plain = tf.nn.conv2d(x, k, 1, "SAME").numpy()
        np.testing.assert_allclose(self.coded(x, k), plain, rtol=1e-3, atol=1e-4)
        return self.records[-1]


def _spoilt(value: float) -> LocalFault:
    def alter(result: np.ndarray) -> np.ndarray:
        result = result.copy()
        result[0, 1, 0, 0] = value
        return result

    return LocalFault(alter=alter)


@pytest.mark.parametrize("verify", ["finite", "parity"])
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_a_result_that_is_not_finite_is_an_erasure(
    code: Code, value: float, verify: str
) -> None:
    layer = Layer(code, verify, w1=_spoilt(value))
    record = layer.check(INPUTS, KERNEL)
    assert record.local is None
    assert 1 not in record.survivors
    assert record.subtasks[1].outcome == "failed"
    assert "not finite" in record.subtasks[1].detail
    layer.executor.faults = {}
    assert 1 in layer.check(INPUTS, KERNEL).survivors  # it is not distrusted for that


@pytest.mark.parametrize("verify", ["finite", "parity"])
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_input_and_kernel_that_are_not_finite_give_what_the_plain_layer_gives(
    code: Code, value: float, verify: str
) -> None:
    """Coded, a NaN would spread from one pixel over all parts of the image."""
    layer = Layer(code, verify)
    x, k = INPUTS.copy(), KERNEL.copy()
    x[1, 2, 3, 0] = k[1, 1, 1, 1] = value
    for inputs, kernel in ((x, KERNEL), (INPUTS, k), (x, k)):
        record = layer.check(inputs, kernel)
        assert record.local is not None
        assert "not finite" in record.local
    assert layer.check(INPUTS, KERNEL).local is None


def test_what_overflows_is_nobodys_fault() -> None:
    layer = Layer(CODES[0])
    record = layer.check(np.full_like(INPUTS, 1e30), np.full_like(KERNEL, 1e30))
    assert record.local is not None
    assert "too large" in record.local


def test_off_checks_nothing_but_shape_and_type() -> None:
    layer = Layer(CODES[0], "off", w1=_spoilt(np.nan))
    with pytest.raises(AssertionError, match="nan location mismatch"):
        layer.check(INPUTS, KERNEL)
    assert layer.records[-1].local is None

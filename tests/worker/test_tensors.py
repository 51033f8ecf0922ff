"""Memory is shared between arrays and tensors, and nothing is lost by it."""

from __future__ import annotations

import numpy as np
import pytest

from fcdcc_keras.coding.compute import CLIENT_ENGINE
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_program
from fcdcc_keras.worker.tensors import aligned_empty, as_array, as_tensor
from fcdcc_keras.worker.weights import Weights

_SHAPE = (2, 5, 7, 3)


def _aligned(dtype: type = np.float32) -> np.ndarray:
    array = aligned_empty(_SHAPE, np.dtype(dtype))
    array[...] = np.arange(array.size).reshape(_SHAPE)
    return array


def _misaligned() -> np.ndarray:
    memory = aligned_empty((_aligned().size + 1,), np.dtype(np.float32))
    memory[1:] = _aligned().ravel()
    return memory[1:].reshape(_SHAPE)


def _read_only() -> np.ndarray:
    array = _aligned()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_aligned_arrays_become_tensors_where_they_are(dtype: type) -> None:
    array = _aligned(dtype)
    tensor = as_tensor(array)
    assert tensor.dtype == dtype
    assert np.shares_memory(as_array(tensor), array)
    np.testing.assert_array_equal(as_array(tensor), array)


@pytest.mark.parametrize(
    "array",
    [_misaligned(), _read_only(), _aligned().transpose(0, 2, 1, 3), _aligned()[:0]],
    ids=["misaligned", "read-only", "transposed", "empty"],
)
def test_other_arrays_are_copied(array: np.ndarray) -> None:
    tensor = as_tensor(array)
    assert not np.shares_memory(as_array(tensor), array)
    np.testing.assert_array_equal(as_array(tensor), array)


def test_operations_leave_the_memory_of_a_tensor_alone() -> None:
    import tensorflow as tf

    array = _aligned()
    tensor = as_tensor(array)
    for _ in range(3):
        tf.nn.relu(tf.nn.bias_add(tensor, [-1e3] * 3) * 2.0)
    np.testing.assert_array_equal(array, _aligned())


def test_the_memory_lives_as_long_as_array_or_tensor() -> None:
    import tensorflow as tf

    tensors = [as_tensor(_aligned()) for _ in range(50)]
    arrays = [as_array(tf.constant(_aligned())) for _ in range(50)]
    for held in (*map(as_array, tensors), *arrays):
        np.testing.assert_array_equal(held, _aligned())


def test_a_graph_takes_an_aligned_array_where_it_is() -> None:
    import tensorflow as tf

    array = _aligned()

    @tf.function
    def crossing() -> tf.Tensor:
        return tf.numpy_function(lambda: array, (), tf.float32)

    assert np.shares_memory(as_array(crossing()), array)


def test_what_a_graph_hands_over_stays_as_it_is() -> None:
    import tensorflow as tf

    held: list[np.ndarray] = []

    def keep(array: np.ndarray) -> np.ndarray:
        held.append(array)
        return array[:1]

    @tf.function
    def crossing(x: tf.Tensor) -> tf.Tensor:
        x = x * 2.0
        y = tf.numpy_function(keep, (x,), tf.float32)
        return tf.nn.relu(-x) + y

    for number in range(20):
        crossing(tf.fill([64, 64], float(number)))
    assert [set(array.flat) for array in held] == [{2.0 * n} for n in range(20)]


def test_a_result_is_sent_from_the_memory_it_was_computed_in() -> None:
    from distributed.protocol import deserialize, serialize

    share = Weights(np.ones((1, 1, 3, 4), np.float32))
    program = convolution_program(ConvGeometry((4, 4), 3, 4, (1, 1)), "float32")
    array = share.run(_aligned(), program, CLIENT_ENGINE)
    assert array.flags.c_contiguous
    header, frames = serialize(array)
    (frame,) = frames
    assert np.shares_memory(np.frombuffer(frame, np.float32), array)
    np.testing.assert_array_equal(deserialize(header, frames), array)


def test_a_share_is_held_once() -> None:
    array = _aligned()
    (held,) = Weights(array).arrays
    assert held is array
    assert np.shares_memory(as_array(as_tensor(held)), array)

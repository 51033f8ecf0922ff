"""What is assumed of TensorFlow beyond its documentation, one by one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcdcc_keras.errors import FcdccError
from fcdcc_keras.layers import tensorflow_internals
from fcdcc_keras.layers.own_errors import let_marked_out, marked
from fcdcc_keras.worker.tensors import aligned_empty, as_array, as_tensor


def test_tensorflow_tells_that_it_saves(tmp_path):
    said = []

    class Model(keras.Model):
        def call(self, x):
            said.append(tensorflow_internals.saving())
            return x

    model = Model()
    model.predict_on_batch(np.zeros((1, 2)))
    assert True not in said
    model.export(str(tmp_path / "exported"), verbose=False)
    assert True in said, "tensorflow: `in_save_context` while a model is exported"


def test_tensorflow_makes_unknown_errors_of_python_exceptions():
    def fail(x):
        with marked():
            raise FcdccError("as it must")

    @tf.function
    def run(x):
        return tf.numpy_function(fail, (x,), x.dtype)

    let_marked_out()
    with pytest.raises(FcdccError, match=r"^as it must$"):
        run(tf.constant(1.0))


def _compiled_step(model):
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.train_on_batch(np.ones((4, 32)), np.zeros((4, 16)))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.layers[0].kernel.assign(np.ones((32, 16))),
        lambda model: model.layers[0].kernel.value.assign_add(tf.ones((32, 16))),
        lambda model: model.layers[0].kernel.value[3:9].assign(tf.zeros((6, 16))),
        lambda model: model.layers[0].kernel.value.scatter_nd_update([[0, 0]], [7.0]),
        tf.function(
            lambda model: model.layers[0].kernel.value.assign_add(tf.ones((32, 16))),
            jit_compile=True,
        ),
        _compiled_step,
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_tensorflow_gives_a_changed_variable_other_memory(change, together):
    model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16)])
    variable, given = model.layers[0].kernel.value, []

    def keep(array):
        given.append(array)
        return array[:1]

    traced = tf.function(lambda: tf.numpy_function(keep, (variable,), tf.float32))
    at_once = tensorflow_internals.reading([variable])
    read = {False: traced, True: lambda: given.extend(map(np.asarray, at_once()))}
    for _ in range(2):
        read[together]()
    before = given[0].copy()
    change(model)
    read[together]()
    assert given[0].ctypes.data == given[1].ctypes.data, "tensorflow: `numpy_function`"
    assert given[1].ctypes.data != given[2].ctypes.data
    np.testing.assert_array_equal(given[0], before)
    assert not np.array_equal(given[2], before)


def test_tensorflow_reads_variables_of_any_types_at_once():
    held = [np.float32([[1, 2]]), np.float64([3]), np.float32(4)]
    variables = [tf.Variable(one) for one in held]
    found = tensorflow_internals.reading(variables)()
    for one, expected in zip(found, held, strict=True):
        assert one.dtype == expected.dtype
        np.testing.assert_array_equal(one, expected)
        assert not np.asarray(one).flags.writeable


def test_tensorflow_copies_what_is_read_of_a_variable_that_is_written_in_place():
    variable = tf.Variable(np.zeros(100, np.float32))
    read = tensorflow_internals.reading([variable])
    for number in range(1, 4):
        (before,) = map(np.asarray, read())
        held = before.copy()
        variable.scatter_nd_update([[7]], [float(number)])
        np.testing.assert_array_equal(before, held)
        assert read()[0][7] == number


def test_tensorflow_tells_whether_gradients_may_be_asked_for():
    assert not tensorflow_internals.recording()
    with tf.GradientTape():
        assert tensorflow_internals.recording()
    with tf.autodiff.ForwardAccumulator(tf.constant(1.0), tf.constant(1.0)):
        assert tensorflow_internals.recording()
    assert not tensorflow_internals.recording()


def test_tensorflow_takes_aligned_memory_as_it_is():
    array = aligned_empty((5, 3), np.dtype("float32"))
    array[...] = 1
    shared = as_array(as_tensor(array))
    assert np.shares_memory(array, shared), "tensorflow: memory aligned to 64 bytes"

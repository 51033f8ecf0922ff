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
def test_tensorflow_gives_a_changed_variable_other_memory(change):
    model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16)])
    variable, given = model.layers[0].kernel.value, []

    def keep(array):
        given.append(array)
        return array[:1]

    read = tf.function(lambda: tf.numpy_function(keep, (variable,), tf.float32))
    for _ in range(2):
        read()
    before = given[0].copy()
    change(model)
    read()
    assert given[0].ctypes.data == given[1].ctypes.data, "tensorflow: `numpy_function`"
    assert given[1].ctypes.data != given[2].ctypes.data
    np.testing.assert_array_equal(given[0], before)
    assert not np.array_equal(given[2], before)


def test_tensorflow_takes_aligned_memory_as_it_is():
    array = aligned_empty((5, 3), np.dtype("float32"))
    array[...] = 1
    shared = as_array(as_tensor(array))
    assert np.shares_memory(array, shared), "tensorflow: memory aligned to 64 bytes"

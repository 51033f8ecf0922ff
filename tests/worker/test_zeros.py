"""Arrays without their zeros: the same bit by bit, or refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcdcc_keras.worker.zeros import with_zeros, without_zeros


def rectified(size, zeros, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    array = rng.normal(size=size)
    array[rng.random(size) < zeros] = 0.0
    return array.astype(dtype)


@given(
    st.integers(1, 200),
    st.floats(0.4, 1.0),
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 9),
)
def test_what_is_put_together_again_is_the_same(size, zeros, dtype, seed):
    array = rectified(size, zeros, dtype, seed)
    sent = without_zeros(array)
    if sent is None:
        assert np.count_nonzero(array) > 0.75 * size
        return
    assert sent.nbytes <= array.itemsize * (-(-size // 8) + np.count_nonzero(array))
    again = with_zeros(sent.tobytes(), array.shape, array.dtype)
    assert again.tobytes() == array.tobytes()
    assert again.dtype == array.dtype


def test_numbers_that_compare_oddly_are_numbers_too():
    array = np.zeros((3, 5, 7), "float32")
    array[0, 0, :5] = [-0.0, np.nan, np.inf, -np.inf, 1e-45]
    sent = without_zeros(array)
    again = with_zeros(bytes(sent), array.shape, array.dtype)
    assert again.tobytes() == array.tobytes()
    assert sent.nbytes == 16 + 5 * 4  # 105 bits, in a place for numbers


def test_a_crop_is_sent_as_it_looks():
    array = rectified(4 * 6 * 8, 0.6).reshape(4, 6, 8)[1:3, ::2]
    again = with_zeros(bytes(without_zeros(array)), array.shape, array.dtype)
    np.testing.assert_array_equal(again, array)


def test_few_zeros_are_sent():
    assert without_zeros(rectified(1000, 0.2)) is None
    assert without_zeros(np.ones(9, "float32")) is None
    assert without_zeros(rectified(1000, 0.3)) is not None


@pytest.mark.parametrize(
    "cut", [slice(0, 3), slice(0, -4), slice(0, -1), slice(4, None)]
)
def test_what_is_not_as_long_as_it_says_is_refused(cut):
    sent = bytes(without_zeros(rectified(100, 0.5)))
    with pytest.raises(ValueError, match="bytes for"):
        with_zeros(sent[cut], (100,), np.dtype("float32"))


def test_bits_that_lie_are_refused():
    sent = bytearray(without_zeros(rectified(100, 0.5)))
    sent[0] ^= 1
    with pytest.raises(ValueError, match="numbers that are there"):
        with_zeros(sent, (100,), np.dtype("float32"))

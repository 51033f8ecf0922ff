"""The matrices that ship: they fit, and are better than random ones."""

import json
from importlib.resources import files

import numpy as np
import pytest

from fcdcc_keras.codes import Quaternion, Systematic, certify
from fcdcc_keras.codes.certify import glance
from fcdcc_keras.codes.library import load

KEYS = list(
    json.loads(
        files("fcdcc_keras.codes").joinpath("data/matrices.json").read_text("utf-8")
    )
)


def numbers(key):
    kind, *rest = key.split("/")
    n, quaternions, reals = (int(part.partition("=")[2]) for part in rest)
    return kind, n, quaternions, reals


@pytest.mark.parametrize("key", KEYS)
def test_entry_fits_its_code_and_beats_random_ones(key):
    kind, n, quaternions, reals = numbers(key)
    if n > 40:
        pytest.skip("the third worst of a sample says little there")
    threshold = quaternions * reals
    four, real = load(kind, n, quaternions, reals)
    columns = n if kind == "quaternion" else n - threshold
    assert four.shape == (quaternions, columns, 4)
    assert real.shape == (reals, columns)
    norms = np.linalg.norm(four, axis=(0, 2))
    np.testing.assert_allclose(norms, np.sqrt(quaternions), rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(real, axis=0), 1, rtol=1e-12)
    split = (4 * quaternions, reals, n)
    options = {} if kind == "quaternion" else {"parity": "quaternion"}
    family = Quaternion if kind == "quaternion" else Systematic
    options["side"] = "input"
    _, found = glance(family(*split, **options), samples=300)
    _, randomly = glance(family(*split, seed=1, **options), samples=300)
    assert found < randomly


def test_either_side_has_the_same_amplification():
    a, b = certify(Quaternion(16, 4, 20)), certify(Quaternion(4, 16, 20, side="kernel"))
    assert a.amplification_worst == pytest.approx(b.amplification_worst, rel=1e-9)
    assert a.amplification_worst < 15


def test_codes_without_an_entry_are_drawn_from_their_seed():
    assert load("quaternion", 61, 2, 3) is None
    a, b = Quaternion(8, 3, 61), Quaternion(8, 3, 61)
    np.testing.assert_array_equal(a.input_matrix, b.input_matrix)
    other = Quaternion(8, 3, 61, seed=1)
    assert not np.array_equal(a.input_matrix, other.input_matrix)

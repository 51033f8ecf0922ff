"""Unit rows copy: to the bit, and without touching other blocks."""

import numpy as np
import pytest

from fcdcc_keras.codes import CRME, Chebyshev, Uncoded, Vandermonde
from fcdcc_keras.codes.linear import combine, unit_rows
from fcdcc_keras.codes.rotation import rotations

_TROUBLE = np.array([[np.inf, -np.inf], [np.nan, np.inf]])


def _bits(array: np.ndarray) -> np.ndarray:
    return array.view(f"u{array.itemsize}")


def test_unit_rows_are_those_with_a_single_one() -> None:
    weights = np.array(
        [[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 2, 0], [0, 0, 0], [0, 0, -1], [1, 0, -1]]
    )
    assert unit_rows(weights.astype(float)).tolist() == [True] * 2 + [False] * 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_unit_row_copies_bits_and_keeps_other_blocks_out(dtype: type) -> None:
    rng = np.random.default_rng(0)
    fine = rng.standard_normal((2, 2)) * 1e-3
    blocks = np.stack([fine, _TROUBLE, -0.0 * fine]).astype(dtype)
    weights = np.array([[0.0, 0, 1], [1, 0, 0], [0.5, 0, 3], [0, 1, 0]])
    with np.errstate(invalid="ignore"):  # row 2 does let them in
        combined = combine(weights, blocks)
    assert combined.dtype == dtype
    for row, block in ((0, 2), (1, 0), (3, 1)):
        np.testing.assert_array_equal(_bits(combined[row]), _bits(blocks[block]))
    assert np.isnan(combined[2]).all()


@pytest.mark.parametrize(
    "weights",
    [
        [[0.5, -2, 0], [1, 1, 1]],
        [[0, 1, 0], [1, 0, 0]],
        [[0, 1, 0], [0.25, 0, -1], [0, 0, 1]],
        [[0, 0, -1], [0, 2, 0], [0, 0, 0]],
    ],
    ids=["dense", "units", "both", "almost units"],
)
def test_combinations_are_weighted_sums(weights: list[list[float]]) -> None:
    blocks = np.random.default_rng(1).standard_normal((3, 2, 4))
    expected = [sum(w * b for w, b in zip(row, blocks, strict=True)) for row in weights]
    atol = 8 * np.finfo(float).eps * np.abs(blocks).max()
    combined = combine(np.array(weights, float), blocks)
    assert combined.shape == (len(weights), 2, 4)
    np.testing.assert_allclose(combined, expected, rtol=0, atol=atol)


def test_weights_are_applied_in_the_type_of_the_blocks() -> None:
    blocks = np.ones((2, 1), np.float32)
    combined = combine(np.array([[0.1, 0.2]]), blocks)
    assert combined.item() == np.float32(0.1) + np.float32(0.2)


def test_blocks_need_not_be_contiguous() -> None:
    blocks = np.random.default_rng(2).standard_normal((5, 4, 3)).transpose(2, 0, 1)
    weights = np.array([[0, 0, 1.0], [0.5, 0.5, 0]])
    expected = [blocks[2], (blocks[0] + blocks[1]) / 2]
    np.testing.assert_allclose(combine(weights, blocks), expected, rtol=1e-15)


def test_uncoded_decodes_to_the_bit() -> None:
    code = Uncoded(2, 3, 6)
    rng = np.random.default_rng(3)
    x, k = rng.standard_normal((2, 4, 5)), rng.standard_normal((3, 5, 2))
    x[1, 0, 0] = np.inf
    everyone = range(code.workers)
    inputs, kernels = code.encode_input(x, everyone), code.encode_kernel(k, everyone)
    with np.errstate(invalid="ignore"):  # some BLAS says so of what is not finite
        results = inputs[:, 0] @ kernels[:, 0]
        plain = np.array([a @ b for a in x for b in k])
    decoded = code.decoder(everyone).decode(results)
    np.testing.assert_array_equal(_bits(decoded), _bits(plain))
    assert np.isfinite(decoded[:3]).all()
    assert not np.isfinite(decoded[3:]).all()


def test_uncoded_worker_i_k_b_plus_j_computes_block_i_j() -> None:
    np.testing.assert_array_equal(Uncoded(2, 3, 6).generator(range(6)), np.eye(6))


def test_an_uncoded_side_is_copied_to_the_bit() -> None:
    code = CRME(1, 8, 6)
    x = np.random.default_rng(4).standard_normal((1, 3, 3)).astype(np.float32)
    x[0, 0] = np.nan, np.inf, -0.0
    for coded in code.encode_input(x, range(6)):
        np.testing.assert_array_equal(_bits(coded), _bits(x))


def test_the_powers_of_vandermonde_are_of_even_points() -> None:
    code = Vandermonde(3, 2, 6)
    points = np.array([-1, -0.6, -0.2, 0.2, 0.6, 1])
    powers = np.array([points**i for i in range(4)])
    np.testing.assert_allclose(code.input_matrix, powers[:3])
    np.testing.assert_allclose(code.kernel_matrix, powers[[0, 3]])
    np.testing.assert_array_equal(Vandermonde(1, 1, 1).input_matrix, [[1.0]])


def test_the_polynomials_of_chebyshev_are_those_of_its_nodes() -> None:
    code = Chebyshev(3, 2, 6)
    x = np.array([np.cos((2 * w + 1) * np.pi / 12) for w in range(6)])
    polynomials = np.array([x**0, x, 2 * x**2 - 1, 4 * x**3 - 3 * x])
    np.testing.assert_allclose(code.input_matrix, polynomials[:3], atol=1e-15)
    np.testing.assert_allclose(code.kernel_matrix, polynomials[[0, 3]], atol=1e-14)


def test_rotations_turn_by_their_angles() -> None:
    phi = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    matrix = rotations(phi)
    assert matrix.shape == (4, 6)
    for i, w in np.ndindex(2, 3):
        cos, sin = np.cos(phi[i, w]), np.sin(phi[i, w])
        block = matrix[2 * i : 2 * i + 2, 2 * w : 2 * w + 2]
        np.testing.assert_array_equal(block, [[cos, -sin], [sin, cos]])

"""Every code of the table in ``conftest.py`` × every law."""

import json
import math
from contextlib import suppress
from itertools import combinations, islice, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras import codes
from fcdcc_keras.codes import CRME, Code, Decoder
from fcdcc_keras.errors import PlanError

_EPS = np.finfo(np.float64).eps
_ALL_SETS = 60
"""Up to so many survivor sets, every one is tried."""


def _some_sets(code: Code, size: int) -> list[tuple[int, ...]]:
    step = max(1, math.comb(code.workers, size) // _ALL_SETS)
    return list(islice(combinations(range(code.workers), size), 0, None, step))


def _products(code: Code) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X_i, K_j and X_i @ K_j, blocks (i, j) at i·k_B + j."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((code.k_a, 3, 2))
    k = rng.standard_normal((code.k_b, 2, 5))
    y = np.array([a @ b for a in x for b in k])
    return x, k, y


def _decoded(code: Code, survivors: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The products as the survivors give them, and as they are."""
    x, k, y = _products(code)
    coded_x = code.encode_input(x, survivors)
    coded_k = code.encode_kernel(k, survivors)
    assert coded_x.shape == (len(survivors), code.ell_a, 3, 2)
    assert coded_k.shape == (len(survivors), code.ell_b, 2, 5)
    results = [
        a @ b for xs, ks in zip(coded_x, coded_k, strict=True) for a in xs for b in ks
    ]
    return code.decoder(survivors).decode(np.array(results)), y


def _tolerance(code: Code, decoder: Decoder, blocks: np.ndarray) -> float:
    """Largest error of a decoded block, from the certified amplification.

    Result m is off by at most (k_A + k_B + products)·ε·g_m·‖Y‖, decoding adds
    m·ε of each term, and Σ_m g_m·|D_mj| ≤ √m·α.
    """
    m = len(decoder.matrix)
    operations = code.k_a + code.k_b + 2 + m
    size = np.sqrt((blocks**2).sum(axis=0)).max()
    return operations * np.sqrt(m) * decoder.amplification * _EPS * size


def _check_survivors(code: Code, survivors: tuple[int, ...]) -> None:
    decoded, y = _decoded(code, survivors)
    tolerance = _tolerance(code, code.decoder(survivors), y)
    np.testing.assert_allclose(decoded, y, rtol=0, atol=tolerance)


def test_sides(code: Code) -> None:
    assert code.input_matrix.shape == (code.k_a, code.ell_a * code.workers)
    assert code.kernel_matrix.shape == (code.k_b, code.ell_b * code.workers)
    assert code.input_matrix.dtype == code.kernel_matrix.dtype == np.float64
    if isinstance(code, CRME):
        assert (code.ell_a, code.ell_b) == tuple(
            1 + (k > 1) for k in (code.k_a, code.k_b)
        )
    assert code.stragglers == code.workers - code.recovery_threshold


def test_any_recovery_threshold_of_survivors_decode_the_products(code: Code) -> None:
    for survivors in _some_sets(code, code.recovery_threshold):
        _check_survivors(code, survivors)


@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_drawn_survivor_sets_decode_the_products(
    code: Code, data: st.DataObject
) -> None:
    least = code.recovery_threshold
    size = data.draw(st.integers(least, code.workers))
    workers = st.permutations(range(code.workers))
    _check_survivors(code, tuple(sorted(data.draw(workers)[:size])))


def test_generator_holds_the_kronecker_products(code: Code) -> None:
    survivors = tuple(range(code.workers))[::-1][: code.recovery_threshold]
    blocks = []
    for w in survivors:
        for a in range(code.ell_a):
            for b in range(code.ell_b):
                left = code.input_matrix[:, code.ell_a * w + a]
                right = code.kernel_matrix[:, code.ell_b * w + b]
                blocks.append(np.outer(left, right).ravel())
    np.testing.assert_array_equal(code.generator(survivors), np.array(blocks).T)


def test_decoding_is_the_inverse_of_the_generator(code: Code) -> None:
    survivors = tuple(range(code.recovery_threshold))
    decoder = code.decoder(survivors)
    assert decoder.survivors == survivors
    identity = code.generator(survivors) @ decoder.matrix
    blocks = np.eye(code.k_a * code.k_b)
    tolerance = _tolerance(code, decoder, blocks)
    np.testing.assert_allclose(identity, blocks, rtol=0, atol=tolerance)


def test_encoding_is_linear(code: Code) -> None:
    rng = np.random.default_rng(3)
    everyone = range(code.workers)
    for encode, k in ((code.encode_input, code.k_a), (code.encode_kernel, code.k_b)):
        u, v = rng.standard_normal((2, k, 4))
        together = encode(2.5 * u - 3 * v, everyone)
        apart = 2.5 * encode(u, everyone) - 3 * encode(v, everyone)
        atol = 4 * (k + 2) * _EPS * 3 * np.abs([u, v]).sum()
        np.testing.assert_allclose(together, apart, rtol=0, atol=atol)


def test_workers_are_encoded_for_in_the_order_given(code: Code) -> None:
    x, k, _ = _products(code)
    order = [code.workers - 1, 0]
    for encode, blocks in ((code.encode_input, x), (code.encode_kernel, k)):
        one_by_one = [encode(blocks, [w])[0] for w in order]
        np.testing.assert_allclose(
            encode(blocks, order), one_by_one, rtol=0, atol=8 * len(blocks) * _EPS
        )


def test_blocks_keep_their_type(code: Code) -> None:
    x, k, y = (array.astype(np.float32) for array in _products(code))
    everyone = range(code.workers)
    decoder = code.decoder(range(code.recovery_threshold))
    results = np.zeros((len(decoder.matrix), *y.shape[1:]), np.float32)
    assert code.encode_input(x, everyone).dtype == np.float32
    assert code.encode_kernel(k, everyone).dtype == np.float32
    assert decoder.decode(results).dtype == np.float32


def test_dictionary_round_trip_through_json(code: Code) -> None:
    data = json.loads(json.dumps(code.to_dict()))
    again = codes.from_dict(data)
    assert type(again) is type(code)
    assert again == code
    assert again.to_dict() == code.to_dict()
    assert data["name"] == code.name
    assert codes.get(code.name) is type(code)


@pytest.mark.parametrize("name", codes.names())
def test_designs_are_all_that_give_the_threshold(name: str) -> None:
    family = codes.get(name)
    planes = name in ("crme", "rotation")
    for threshold in range(1, 9):
        workers = threshold if name == "uncoded" else threshold + 2
        sides = [k for k in range(1, 4 * threshold + 1) if not planes or k != 2]
        found = set()
        for k_a, k_b in product(sides, sides):
            with suppress(PlanError):
                code = family(k_a, k_b, workers)
                if code.recovery_threshold == threshold:
                    found.add((k_a, k_b))
        designs = family.designs(workers, threshold)
        assert len(set(designs)) == len(designs)
        assert all(design.recovery_threshold == threshold for design in designs)
        assert all(design.workers == workers for design in designs)
        assert {(design.k_a, design.k_b) for design in designs} >= found
    assert codes.get("uncoded").designs(5, 4) == []

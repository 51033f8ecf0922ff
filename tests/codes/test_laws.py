"""Every code × every law, from one table."""

import gc
import json
import math
import weakref
from itertools import combinations, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras import codes
from fcdcc_keras.codes import CRME, Code, Decoder, Uncoded, odd_q

CODES = [
    *(
        CRME(k_a, k_b, n, q)
        for k_a, k_b, n in [
            (1, 1, 3),
            (2, 1, 2),
            (2, 2, 2),
            (1, 4, 4),
            (6, 1, 5),
            (1, 8, 6),
            (8, 1, 6),
            (4, 4, 6),
            (4, 8, 10),
            (8, 8, 20),
        ]
        for q in (n, odd_q(n))
    ),
    *(Uncoded(*split) for split in [(1, 1, 1), (1, 4, 4), (3, 1, 3), (2, 3, 6)]),
]
_EPS = np.finfo(np.float64).eps
_ALL_SETS = 60
"""Up to so many survivor sets, every one is tried."""


def _label(code: Code) -> str:
    q = f" q={code.q}" if isinstance(code, CRME) else ""
    return f"{code.name} {code.k_a},{code.k_b} n={code.workers}{q}"


@pytest.fixture(params=CODES, ids=_label)
def code(request: pytest.FixtureRequest) -> Code:
    return request.param


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
    results = [a @ b for xs, ks in zip(coded_x, coded_k) for a in xs for b in ks]
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
        assert (code.ell_a, code.ell_b) == tuple(1 + (k > 1) for k in (code.k_a, code.k_b))
    assert code.stragglers == code.workers - code.recovery_threshold


def test_any_recovery_threshold_of_survivors_decode_the_products(code: Code) -> None:
    for survivors in _some_sets(code, code.recovery_threshold):
        _check_survivors(code, survivors)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_drawn_survivor_sets_decode_the_products(data: st.DataObject) -> None:
    code = data.draw(st.sampled_from(CODES))
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
    product = code.generator(survivors) @ decoder.matrix
    blocks = np.eye(code.k_a * code.k_b)
    tolerance = _tolerance(code, decoder, blocks)
    np.testing.assert_allclose(product, blocks, rtol=0, atol=tolerance)


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


def test_decoder_is_prepared_once_for_each_survivor_set(code: Code) -> None:
    survivors = list(range(code.workers))[-code.recovery_threshold :]
    decoder = code.decoder(survivors)
    assert code.decoder(survivors[::-1]) is decoder
    assert code.decoder(iter(survivors)) is decoder
    assert codes.from_dict(code.to_dict()).decoder(survivors) is decoder


def test_more_survivors_amplify_no_more(code: Code) -> None:
    order = np.random.default_rng(5).permutation(code.workers).tolist()
    growing = [
        code.decoder(order[:m]).amplification
        for m in range(code.recovery_threshold, code.workers + 1)
    ]
    rounding = 1 + 1e-9
    assert all(b <= a * rounding for a, b in zip(growing, growing[1:]))


def test_splits_give_the_threshold_and_are_all_of_them(code: Code) -> None:
    family = type(code)
    for threshold in range(1, 13):
        found = {}
        for k_a in range(1, 4 * threshold + 1):
            for k_b in range(1, 4 * threshold + 1):
                try:
                    found[k_a, k_b] = family.for_split(k_a, k_b, threshold)
                except codes.PlanError if False else ValueError:
                    continue
        expected = [
            split
            for split, one in found.items()
            if one.recovery_threshold == threshold
            and not (family is CRME and 2 in split and threshold > 1 and 1 not in split)
        ]
        assert sorted(family.splits(threshold)) == sorted(expected)


def test_the_cache_of_decoders_is_bounded() -> None:
    code = CRME(1, 2, 60)
    first = weakref.ref(code.decoder([0, 1]))
    for survivors in combinations(range(code.workers), 2):
        code.decoder(survivors)
    gc.collect()
    assert first() is None

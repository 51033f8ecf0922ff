"""Decoders are prepared once for each survivor set, and kept for a while."""

import gc
import weakref
from itertools import combinations, pairwise

import numpy as np

from fcdcc_keras import codes
from fcdcc_keras.codes import CRME, Code


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
    assert all(b <= a * rounding for a, b in pairwise(growing))


def test_the_cache_of_decoders_is_bounded() -> None:
    code = CRME(1, 2, 60)
    first = weakref.ref(code.decoder([0, 1]))
    for survivors in combinations(range(code.workers), 2):
        code.decoder(survivors)
    gc.collect()
    assert first() is None

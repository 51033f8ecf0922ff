"""Whom a layer is sent to."""

from itertools import combinations
from types import SimpleNamespace

import pytest

from fcdcc_keras.codes import CRME, Chebyshev, Replication, Systematic
from fcdcc_keras.codes.parity import redundant
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.targets import choose_few, plain_copies


def few(code, free=None, usual=None, limit=float("inf")):
    free = range(code.workers) if free is None else free
    collector = Collector(code, [str(w) for w in range(code.workers)], limit)
    usual = usual or dict.fromkeys(free, 1.0)
    return collector.choose({worker: usual[worker] for worker in free})


def test_plain_blocks_of_a_systematic_code_first():
    code = Systematic(4, 1, 6)
    assert few(code) == [0, 1, 2, 3]
    chosen = few(code, free=[0, 2, 3, 4, 5])
    assert len(chosen) == 4
    assert {0, 2, 3} <= set(chosen)


def test_as_many_as_needed_and_those_that_amplify_least():
    code = CRME(16, 4, 20)
    chosen = few(code)
    assert len(chosen) == code.recovery_threshold == 16
    neighbours = code.decoder(range(16)).amplification
    assert code.decoder(chosen).amplification < neighbours / 10


def test_slow_workers_are_left_out_while_others_suffice():
    code = CRME(4, 4, 6)
    usual = {0: 1.0, 1: 9.0, 2: 1.1, 3: 0.9, 4: 1.2, 5: 1.0}
    assert 1 not in few(code, usual=usual)
    free = [0, 1, 2, 3]
    assert few(code, free, {w: usual[w] for w in free}) == free


def test_all_where_too_few_are_free_or_none_is_good_enough():
    code = CRME(4, 4, 6)
    assert few(code, free=[1, 2]) == [1, 2]
    assert few(code, free=[]) == []
    # Nobody can do it within the limit: that is for the collector to find out.
    assert few(code, limit=1e-3) == list(range(6))


def test_one_of_each_group_of_a_replicating_code():
    code = Replication(4, 1, 8)
    chosen = few(code)
    assert code.decodable(chosen)
    assert not any(code.decodable([v for v in chosen if v != w]) for w in chosen)
    assert len(chosen) < code.recovery_threshold


class Verified(Collector):
    """Needs one answer more than decoding does."""

    spare = 1

    def enough(self, workers):
        return redundant(self.code, workers, 1)


@pytest.mark.parametrize(
    "code", [Systematic(4, 1, 6), CRME(4, 4, 6), Replication(4, 1, 12)]
)
def test_one_more_where_the_answers_must_show_a_lie(code):
    collector = Verified(code, [str(w) for w in range(code.workers)])
    everyone = range(code.workers)
    chosen = collector.choose(dict.fromkeys(everyone, 1.0))
    assert redundant(code, chosen, 1)
    assert not any(redundant(code, set(chosen) - {w}, 1) for w in chosen)
    assert (plain_copies(code, chosen) is not None) == (code.plain_workers > 0)
    free = chosen[1:]
    assert collector.choose(dict.fromkeys(free, 1.0)) == free


@pytest.mark.parametrize("workers", [20, 60])
def test_choosing_is_remembered(workers):
    code = CRME(workers - 4, 4, workers)
    assert few(code) == few(code)


def test_twice_the_median_is_not_slow_yet():
    code = CRME(2, 2, 3)  # one does
    assert few(code, [1, 2], {1: 1.0, 2: 3.0}) == [1]
    usual = {0: 2.0, 1: 1.0, 2: 1.0}
    quick = few(Systematic(2, 1, 3), usual=usual)
    assert quick == [0, 1]  # the plain ones
    usual[0] = 2.001
    assert few(Systematic(2, 1, 3), usual=usual) == [1, 2]


def test_of_equal_sets_the_plain_one_is_taken_though_another_amplifies_less():
    code = Systematic(4, 1, 6)
    assert plain_copies(code, range(6)) == (0, 1, 2, 3)
    assert plain_copies(code, [0, 1, 2, 4, 5]) is None
    assert plain_copies(code, []) is None
    assert plain_copies(Replication(2, 1, 4), [3, 1, 2]) == (1, 2)
    assert plain_copies(CRME(4, 4, 6), range(6)) is None


def test_all_that_are_free_where_those_that_do_amplify_too_much():
    code = CRME(4, 4, 6)
    best = min(code.decoder(s).amplification for s in combinations(range(6), 4))
    chosen = few(code, limit=best * (1 + 1e-9))
    assert len(chosen) == 4
    assert few(code, limit=best * (1 - 1e-9)) == list(range(6))


def test_slow_is_relative():
    usual = {0: 21.0, 1: 10.0, 2: 10.0}
    assert few(Systematic(2, 1, 3), usual=usual) == [1, 2]
    assert few(Systematic(2, 1, 3), usual=usual | {0: 20.0}) == [0, 1]


def test_sets_that_decode_to_noise_are_the_last_choice():
    assert len(few(Chebyshev(32, 1, 60))) == 32


class Unequal:
    """Three do, or two others, which amplify more."""

    plain_workers = 0

    def decodable(self, workers):
        return {0, 1, 2} <= set(workers) or {3, 4} <= set(workers)

    def decoder(self, workers):
        return SimpleNamespace(amplification=1 / len(workers))


def test_as_few_as_there_may_be():
    usual = dict.fromkeys(range(5), 1.0)
    assert choose_few(Unequal(), usual, 0, Unequal().decodable) == [3, 4]

"""What is cut for whom, while teams change, and what has been rehearsed of it."""

from concurrent.futures import Future

import pytest

from fcdcc_keras.coding.tiles import CutChain
from fcdcc_keras.execution.forward.cuts import _LASTING, _SURELY, WORTH_IT, Cuts
from fcdcc_keras.partition.tiling import bands
from tests.execution.test_stretch import stretch_of

SIZE = (60, 40)
ONE = "one", "one"
"""Placements; nothing is asked of them but whether they are the same."""


class Made:
    """Two chains in bands, cut beside when that is asked for."""

    def __init__(self):
        stretch, shape = stretch_of()(SIZE), (1, *SIZE, 3)
        self.sized = []
        for after, to in ((None, "first"), ("first", "pool")):
            self.sized.append(stretch.chain(after, to).sized(shape))
            shape = self.sized[-1].shapes[-1]
        self.cut, self.waiting = [], []
        self.cuts = Cuts(self.make, self.later)

    def make(self, team):
        self.cut.append(team)
        speeds, addresses = tuple(team.values()), list(team)
        return tuple(
            CutChain.of(
                "chain",
                one,
                [
                    (addresses[place], box)
                    for place, box in bands(one.shapes[-1], speeds, 1).items()
                ],
            )
            for one in self.sized
        )

    def later(self, make):
        made = Future()
        self.waiting.append(lambda: made.set_result(make()))
        return made

    def look(self, team, **speeds):
        return self.cuts.look({**dict.fromkeys(team, 1.0), **speeds})[:2]

    def better(self, team, **speeds):
        """Has what is better be made, and returns it."""
        for _ in range(_SURELY if speeds else _LASTING):
            assert not self.waiting
            assert self.look(team, **speeds)[1] is None
        for make in self.waiting:
            make()
        self.waiting.clear()
        better = self.look(team, **speeds)[1]
        assert better is not None
        return better


def homes(cut):
    assert cut.exchangeable
    return "".join(tile.home for tile in cut.chains[-1].tiles)


@pytest.fixture
def made():
    return Made()


def test_at_first_it_is_cut_at_once(made):
    cut, better = made.look("abc")
    assert homes(cut) == "abc"
    assert better is None
    assert made.look("abc") == (cut, None)
    assert len(made.cut) == 1


def test_who_is_gone_keeps_its_tiles_until_better_ones_are_taken(made):
    cut, _ = made.look("abc")
    for team in ("ac", "ac", "ab", "ab", "abc", "ac", "ac"):
        assert made.look(team) == (cut, None)
        assert not made.waiting  # it may be for a moment
    assert made.look("ac") == (cut, None)
    assert made.look("ac") == (cut, None)  # which is not asked for twice
    assert len(made.waiting) == 1
    made.waiting.pop()()
    _, better = made.look("ac")
    assert homes(better) == "ac"
    assert made.look("ac") == (cut, better)
    made.cuts.take(better)
    assert made.look("ac") == (better, None)


def test_for_a_moment_what_is_ready_serves_and_nobody_rehearses(made):
    cut, _ = made.look("abc")
    made.cuts.of_fewer(dict.fromkeys("abc", 1.0), 1)
    found = [made.cuts.look(dict.fromkeys("ac", 1.0)) for _ in range(_LASTING)]
    assert all(now is cut and better is not None for now, better, _ in found)
    assert [lasts for *_, lasts in found] == [False] * (_LASTING - 1) + [True]


def test_a_team_that_is_there_again_goes_on_at_once(made):
    cut, _ = made.look("abc")
    better = made.better("ac")
    made.cuts.take(better)
    assert made.look("abc") == (better, cut)
    made.cuts.take(cut)
    assert made.look("ac") == (cut, better)
    assert len(made.cut) == 2


def test_who_comes_has_the_tiles_of_one_that_is_gone(made):
    cut, _ = made.look("abc")
    given, better = made.look("adc")
    assert homes(given) == "adc"
    assert better is None
    # The same tiles, whoever has rehearsed them.
    assert given.run(ONE).rehearsed is cut.run(ONE).rehearsed
    assert [tile.text for chain in given.chains for tile in chain.tiles] == [
        tile.text for chain in cut.chains for tile in chain.tiles
    ]
    other = given.run(("other",) * 2)
    assert other.rehearsed is not cut.run(ONE).rehearsed
    assert len(made.cut) == 1


def test_who_comes_while_others_are_gone_has_the_tiles_of_one_of_them(made):
    made.look("abcd")
    assert homes(made.look("ace")[0]) == "aecd"
    assert homes(made.look("acef")[0]) == "aecf"


def test_who_comes_beside_has_tiles_when_better_ones_are_taken(made):
    cut, _ = made.look("ab")
    better = made.better("abc")
    assert homes(better) == "abc"
    assert made.look("abc")[0] is cut
    # Meanwhile that one is gone, and another there.
    _, other = made.look("abd")
    assert homes(other) == "abd"


def test_what_is_made_for_fewer_serves_whoever_is_left(made):
    made.look("abcd")
    fewer = made.cuts.of_fewer(dict.fromkeys("abcd", 1.0), 1)
    assert homes(fewer) == "abc"
    _, better = made.look("acd")
    assert homes(better) == "adc"
    assert better.run(ONE).rehearsed is fewer.run(ONE).rehearsed
    assert homes(made.cuts.of_fewer(dict.fromkeys("abcd", 1.0), 1)) == "adc"
    assert len(made.cut) == 2


def test_what_each_may_do_for_others(made):
    cut, _ = made.look("abc")
    assert [homes(cut.turned(by)) for by in range(4)] == ["abc", "bca", "cab", "abc"]
    assert cut.turned(1).run(ONE).rehearsed is cut.run(ONE).rehearsed


def test_who_is_slow_has_less(made):
    made.look("abc")
    better = made.better("abc", c=0.3)
    sizes = {tile.home: tile.size for tile in better.chains[0].tiles}
    assert sizes["c"] < 0.6 * sizes["a"]
    made.cuts.take(better)
    # Slightly slower or faster is not worth it, and is cut for as the same.
    assert made.look("abc", c=0.3 * WORTH_IT**0.5) == (better, None)
    assert made.look("abc", a=0.9, c=0.3) == (better, None)
    # Another is slow, and not for a moment: it is to have the small one.
    for _ in range(_SURELY - 1):
        assert made.look("abc", a=0.3) == (better, None)
    _, other = made.look("abc", a=0.3)
    sizes = {tile.home: tile.size for tile in other.chains[0].tiles}
    assert sizes["a"] < 0.6 * sizes["b"]
    assert homes(other) == "cba"
    assert len(made.cut) == 2


def test_what_is_raised_beside_comes_out_of_a_call(made):
    made.cuts._later = lambda make: _raising()
    for team in ("ab", *"a" * _LASTING):
        made.look(team)
    with pytest.raises(ZeroDivisionError):
        made.look("a")


def _raising():
    made = Future()
    made.set_exception(ZeroDivisionError())
    return made


def test_it_is_made_in_a_thread_of_its_own():
    made = Made()
    cuts = Cuts(made.make)
    everybody = dict.fromkeys("abc", 1.0)
    cuts.look(everybody)
    fewer = dict.fromkeys("ab", 1.0)
    for _ in range(_LASTING):
        cuts.look(fewer)
    _, making = cuts._making
    assert len(making.result(60)) == 2
    assert homes(cuts.look(fewer)[1]) == "ab"

"""Who is there, who has which slot, who can be relied on: what was seen goes in."""

import pytest

from fcdcc_keras.dispatch.crew import ADMIT_AGAIN, LOOK_EVERY, Crew, Seen

NOTHING = Seen(left=(), ping=(), admit=(), moved=())


def late(crew, address):
    """Has a worker owe what nobody waits for."""
    crew.health[address].begin("item", 0.0, None)
    crew.health[address].overtake("item")


def joined(address, *, at=0.5, workers="abc"):
    """A crew with a spare worker, which has been taken in."""
    crew = Crew(workers)
    crew.seen([*workers, address], at)
    crew.admitted(address, "of " + address, at)
    return crew


def test_where_nothing_happens_nothing_is_to_be_done():
    crew = Crew("abc")
    assert crew.seen("abc", 1.0) == NOTHING
    assert crew.left() == 3
    assert crew.sound(1.0) == ["a", "b", "c"]
    assert crew.accepting(1.0) == [0, 1, 2]
    assert crew.gone() == {}


# Who joins


def test_whoever_joins_is_checked_once_and_then_taken_in():
    crew = Crew("ab")
    assert crew.seen("abx", 1.0).admit == ("x",)
    assert crew.seen("abx", 1.5).admit == ()  # it is being checked
    assert crew.admitted("x", "process", 2.0) == []  # there is no slot to be had
    assert crew.health["x"].process == "process"
    assert crew.seen("abx", 2.5) == NOTHING
    assert crew.left() == 3


def test_whoever_has_left_while_it_was_checked_is_not_taken_in():
    crew = Crew("ab")
    crew.seen("abx", 1.0)
    crew.seen("ab", 1.5)
    assert crew.admitted("x", "", 2.0) == []
    assert "x" not in crew.health
    assert crew.seen("abx", 2.5).admit == ("x",)


def test_whoever_cannot_be_used_is_tried_again_after_a_while_and_told_of_once():
    crew = Crew("ab")
    crew.seen("abx", 1.0)
    assert crew.refused("x", 1.0)
    assert crew.seen("abx", 1.0 + ADMIT_AGAIN - 0.1).admit == ()
    assert crew.seen("abx", 1.0 + ADMIT_AGAIN).admit == ("x",)
    assert not crew.refused("x", 1.0 + ADMIT_AGAIN)
    # Where it has left, another may be at its address.
    crew.seen("ab", 12.0)
    assert crew.seen("abx", 12.1).admit == ("x",)
    assert crew.refused("x", 12.2)


def test_whoever_joins_is_given_the_slot_of_one_that_is_gone():
    crew = Crew("abc")
    assert crew.seen("acx", 1.0).moved == ()  # nobody is there to take it
    assert crew.admitted("x", "", 2.0) == [1]
    assert crew.roster.addresses == ("a", "x", "c")


def test_a_slot_goes_to_a_spare_worker_when_its_own_leaves():
    crew = joined("x")
    assert crew.seen("abx", 1.0) == Seen((), (), (), moved=(2,))
    assert crew.roster.addresses == ("a", "b", "x")
    # Of who has left nothing is kept once it has no slot.
    assert crew.seen("abx", 2.0).left == ("c",)
    assert "c" not in crew.health
    assert crew.left() == 3


@pytest.mark.parametrize("how", [late, lambda crew, a: crew.health[a].fail(0.9)])
def test_no_slot_goes_to_a_spare_worker_that_is_late_or_failing(how):
    crew = joined("x")
    how(crew, "x")
    assert crew.seen("abx", 1.0).moved == ()
    assert crew.roster.addresses == tuple("abc")


def test_a_slot_stays_with_one_that_is_only_late():
    crew = joined("x")
    late(crew, "b")
    assert crew.seen("abcx", 1.0).moved == ()
    crew.pinged("b", None)
    assert crew.seen("abcx", 2.0).moved == (1,)


# Who is gone


def test_whoever_the_scheduler_has_no_more_is_lost_and_its_slot_is_gone():
    crew = Crew("abc")
    assert crew.seen("ac", 1.0) == NOTHING  # nobody is there to take its slot
    assert list(crew.gone()) == [1]
    assert crew.left() == 2
    assert crew.sound(1.0) == ["a", "c"]
    assert crew.accepting(1.0) == [0, 2]


def test_one_that_has_left_may_come_back_as_another_process():
    crew = Crew("abc", processes={"b": "first"})
    crew.seen("ac", 1.0)
    assert crew.seen("abc", 2.0).admit == ("b",)
    assert crew.gone() == {1: "the worker left the cluster"}
    # Its slot's shares are to be placed anew.
    assert crew.admitted("b", "second", 3.0) == [1]
    assert crew.gone() == {}


def test_another_process_at_an_address_takes_the_place_of_the_former():
    crew = Crew("ab")
    assert not crew.pinged("a", "first")  # nobody had told
    assert not crew.pinged("a", "first")
    assert not crew.pinged("a", "")  # it does not say
    assert crew.pinged("a", "second")
    assert list(crew.gone()) == [0]
    assert not crew.pinged("a", "second")  # it is being checked
    assert crew.admitted("a", "second", 1.0) == [0]
    assert not crew.pinged("a", "second")
    assert crew.gone() == {}
    assert not crew.pinged("unknown", "")


def test_slots_that_one_has_taken_over_go_back_to_one_each():
    crew = Crew("ab")
    crew.health["b"].suspect = True
    assert crew.replace(1, (), 1.0) == "a"
    crew.health["b"].suspect = False
    assert crew.seen("ab", 2.0).moved == (0,)
    assert crew.roster.addresses == ("b", "a")


def test_a_slot_is_replaced_by_the_sound_that_were_not_tried():
    crew = Crew("abcd")
    late(crew, "b")
    assert crew.replace(0, ("a", "c"), 1.0) == "d"
    assert crew.replace(0, ("a", "c", "d"), 1.0) is None


# Who is asked


def test_whoever_is_late_silent_or_doubted_is_asked():
    crew = Crew("abcd")
    late(crew, "a")
    crew.pinged("b", None)
    crew.doubt("c", 0.5)
    assert crew.seen("abcd", 1.0).ping == ("a", "b", "c")
    assert crew.seen("abcd", 2.0).ping == ("a", "b")  # a doubt is for once


def test_a_doubt_has_one_look_at_once_but_not_all_the_time():
    crew = Crew("ab", now=1.0)
    assert not crew.doubt("a", 1.1 - 1e-9)
    assert crew.doubt("a", 1.2)
    crew.looking(1.2)
    assert not crew.doubt("b", 1.25)


def doubled(crew):
    crew.replace(1, (), 0.0)


def distrusted(crew):
    crew.distrust("b", 0.0)


@pytest.mark.parametrize(
    "how",
    [
        lambda crew: crew.doubt("b", 0.0),
        lambda crew: late(crew, "b"),
        lambda crew: crew.pinged("b", None),
        lambda crew: crew.health["b"].leave(),
        doubled,
        distrusted,
    ],
    ids=["doubted", "late", "suspect", "lost", "doubled", "distrusted"],
)
def test_a_look_is_needed_where_something_is_wrong_and_nobody_has_looked(how):
    crew = Crew("abc")
    assert not crew.needs_look(100.0)
    how(crew)
    assert not crew.needs_look(LOOK_EVERY)
    assert crew.needs_look(LOOK_EVERY + 0.01)
    crew.looking(1.0)
    assert not crew.needs_look(1.0 + LOOK_EVERY)


# Who can be relied on


def test_whoever_lied_is_never_used_again_whatever_process_it_is():
    crew = Crew("abc")
    assert crew.trusts("b")
    assert crew.distrust("b", 1.0) == []
    assert not crew.trusts("b")
    assert crew.left() == 2
    assert list(crew.gone()) == [1]
    crew.seen("ac", 2.0)
    assert crew.seen("abc", 3.0).admit == ()
    assert not crew.pinged("b", "another")


def test_a_liars_slot_goes_to_a_spare_worker():
    crew = joined("x")
    assert crew.distrust("b", 1.0) == [1]
    assert crew.roster.addresses == ("a", "x", "c")


def test_alive_is_whoever_owes_nothing_for_longer_than_a_layer_waits():
    crew = Crew("abcd")
    crew.health["a"].begin("item", 1.0, None)
    late(crew, "b")
    crew.health["b"].overtake("item", given_up=True)
    crew.health["c"].leave()
    assert crew.alive(4.0, timeout=3.0) == [0, 3]
    assert crew.alive(4.1, timeout=3.0) == [3]


def test_no_part_is_cut_for_who_is_late_unless_most_are():
    crew = Crew("abcd")
    for address, team in (("a", "bcd"), ("b", "cd"), ("c", "abcd")):
        late(crew, address)
        assert set(crew.team("kind", 1.0)) == set(team)

"""Which worker has which share, as workers go and come."""

from fcdcc_keras.dispatch.roster import Roster


def test_each_slot_has_a_worker_of_its_own_at_first() -> None:
    roster = Roster("abcd")
    assert roster.addresses == ("a", "b", "c", "d")
    assert roster.slots("c") == [2]
    assert roster.slots("z") == []


def test_nothing_moves_without_a_spare_worker() -> None:
    roster = Roster("abcd")
    assert roster.heal(there="abcd", spare="abcd") == []
    assert roster.heal(there="abd", spare="abd") == []
    assert roster.addresses == ("a", "b", "c", "d")


def test_a_spare_worker_takes_the_slot_of_one_that_is_gone() -> None:
    roster = Roster("abcd")
    assert roster.heal(there="abdx", spare="abdx") == [2]
    assert roster.addresses == ("a", "b", "x", "d")


def test_a_worker_that_is_only_slow_keeps_its_slot() -> None:
    roster = Roster("abcd")
    assert roster.heal(there="abcdx", spare="abdx") == []


def test_missing_slots_go_to_those_with_the_fewest() -> None:
    roster = Roster("abcd")
    assert roster.replace(2, "ab") == "a"
    assert roster.replace(3, "ab") == "b"
    assert roster.addresses == ("a", "b", "a", "b")
    assert roster.slots("a") == [0, 2]


def test_no_candidate_leaves_things_as_they_are() -> None:
    roster = Roster("abcd")
    assert roster.replace(2, "") is None
    assert roster.replace(2, "c") is None
    assert roster.addresses == ("a", "b", "c", "d")


def test_doubled_slots_go_back_to_one_each() -> None:
    roster = Roster("abcd")
    for slot in (1, 2, 3):
        roster.replace(slot, "a")
    assert roster.addresses == ("a", "a", "a", "a")
    moved = roster.heal(there="axyz", spare="axyz")
    assert len(moved) == 3
    assert sorted(roster.addresses) == ["a", "x", "y", "z"]
    assert roster.heal(there="axyz", spare="axyz") == []


def test_gone_before_doubled() -> None:
    roster = Roster("abcd")
    roster.replace(1, "a")
    assert roster.heal(there="acx", spare="acx") == [3]
    assert roster.addresses == ("a", "a", "c", "x")


def test_more_spare_workers_than_vacancies_wait() -> None:
    roster = Roster("abcd")
    assert roster.heal(there="abcxyz", spare="xyz") == [3]
    assert roster.addresses == ("a", "b", "c", "x")
    assert roster.address(3) == "x"


def test_who_has_most_gives_first() -> None:
    roster = Roster("aabbbc")
    assert roster.heal(there="abcwxyz", spare="wxyz") == [2, 0, 3]
    assert roster.addresses == ("x", "a", "w", "y", "b", "c")


def test_a_slot_goes_to_another_even_if_that_has_more() -> None:
    roster = Roster("aab")
    assert roster.replace(2, "ab") == "a"
    assert roster.replace(2, "abc") == "b"
    assert roster.replace(0, "cb") == "c"
    assert roster.addresses == ("c", "a", "b")

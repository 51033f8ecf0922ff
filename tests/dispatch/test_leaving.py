"""Who says that it leaves: others have its part at once; its answers still count."""

import pytest

from fcdcc_keras.codes import Systematic
from fcdcc_keras.dispatch.crew import MOST_SPARE, Crew
from fcdcc_keras.dispatch.messages import (
    Answered,
    CrewChanged,
    Encode,
    Encoded,
    Finish,
    HurryShare,
    PlaceShare,
    Send,
)
from fcdcc_keras.dispatch.piece_round import PieceRound
from fcdcc_keras.dispatch.pieces import Piece, PieceCollector

NAMES = {address: f"process of {address}" for address in "abcdefxyz"}


def crew_of(workers="abcdef", spare=()):
    """A crew whose processes are known by name, with spare workers taken in."""
    crew = Crew(workers, processes={a: NAMES[a] for a in workers})
    crew.seen([*workers, *spare], 0.0)
    for address in spare:
        crew.admitted(address, NAMES[address], 0.0)
    return crew


def learnt(crew):
    """Has everybody done the layer once, in a second."""
    for health in crew.health.values():
        health.begin("before", -1.0, None)
        health.end("before", 0.0, "layer")
    return crew


def encoded(commands):
    return [slot for c in commands if isinstance(c, Encode) for slot in c.slots]


# The crew


def test_who_leaves_gets_nothing_new_and_is_not_taken_in_again():
    crew = crew_of("ab")
    assert crew.leaving(NAMES["a"], 1.0) == []  # there is nobody to take its slot
    health = crew.health["a"]
    assert health.state(1.0) == "leaving"
    assert health.absent
    assert not health.accepts(1.0)
    assert crew.left() == 1
    assert crew.team("kind", 1.0).keys() == {"b"}
    assert crew.gone() == {}  # what it has begun it may still end
    assert crew.needs_look(9.0)
    assert crew.seen("ab", 9.0).admit == ()
    assert crew.seen("b", 10.0).left == ()
    assert health.state(10.0) == "lost"


def test_a_spare_worker_has_the_slot_at_once():
    crew = crew_of("ab", spare="x")
    assert crew.leaving(NAMES["b"], 1.0) == [1]
    assert crew.roster.addresses == ("a", "x")
    assert crew.seen("ax", 2.0).left == ("b",)


def test_another_process_at_its_address_does_not_leave():
    crew = crew_of("ab")
    crew.leaving("the process before", 1.0)
    assert crew.health["a"].state(1.0) == "idle"


def test_who_leaves_while_it_is_checked():
    crew = crew_of("ab")
    crew.seen("abx", 1.0)
    crew.leaving(NAMES["b"], 1.5)
    crew.leaving(NAMES["x"], 1.5)
    assert crew.admitted("x", NAMES["x"], 2.0) == []
    assert crew.health["x"].leaving


def test_no_more_are_taken_in_than_twice_as_many_as_there_are_slots():
    crew = crew_of("ab")
    assert crew.seen("abcdef", 1.0).admit == ("c", "d")
    assert MOST_SPARE == 2
    crew.admitted("c", NAMES["c"], 1.0)
    crew.admitted("d", NAMES["d"], 1.0)
    assert crew.spare() == ["c", "d"]
    assert crew.team("kind", 1.0).keys() == set("abcd")
    # Who is gone leaves room for another.
    assert crew.seen("bcdef", 2.0).admit == ("e",)


# A coded layer


def test_all_others_are_sent_to_at_once_where_only_some_were(paper, sends):
    layer = paper(Systematic(2, 2, 6), crew=learnt(crew_of()), hedged=True)
    assert len(sends(layer.begin())) == 4
    late = layer.crew.of(1).deadline((layer.round, 1))
    layer.crew.leaving(NAMES["b"], 0.1)
    assert encoded(layer.round.handle(CrewChanged(), 0.1)) == [4, 5]
    assert late > 1.0  # long before it would be late
    layer.encoded(4, 5, now=0.1)
    # Whoever comes first is used, also who leaves.
    layer.answer(0, 2, 3, now=0.2)
    assert Finish() in layer.answer(1, now=0.2)
    assert layer.outcomes[1] == "used"


def test_nobody_else_is_sent_to_where_it_has_answered(paper):
    layer = paper(Systematic(2, 2, 6), crew=learnt(crew_of()), hedged=True)
    layer.begin()
    layer.answer(1, now=0.1)
    layer.crew.leaving(NAMES["b"], 0.1)
    assert encoded(layer.round.handle(CrewChanged(), 0.1)) == []


def test_with_enough_others_nothing_is_to_be_done(paper):
    layer = paper(crew=crew_of())
    layer.begin()
    layer.crew.leaving(NAMES["b"], 0.1)
    assert layer.round.handle(CrewChanged(), 0.1) == []
    assert layer.answer(0, 2, 3, 4, now=0.2)[-2] == Finish()


def test_beyond_the_redundancy_others_take_the_parts_over_at_once(paper):
    layer = paper(crew=crew_of())
    layer.begin()
    for address in "abc":
        layer.crew.leaving(NAMES[address], 0.1)
    (slot,) = encoded(layer.round.handle(CrewChanged(), 0.1))
    assert layer.crew.roster.address(slot) in "def"
    (send,) = layer.encoded(slot, now=0.1)
    assert send == Send(slot, layer.crew.roster.address(slot))
    # The first answer counts, be it of who leaves.
    layer.answer(slot, now=0.2, worker="abc"[slot])
    assert layer.answer(3, 4, 5, now=0.3)[-2] == Finish()
    assert layer.round.collector.records[slot].address == "abc"[slot]


@pytest.mark.parametrize("gone", [False, True])
def test_a_spare_worker_takes_the_part_over_where_it_is_needed(paper, gone):
    layer = paper(crew=crew_of(spare="xyz"))
    layer.begin()
    layer.lacking.update((slot, address) for slot in range(6) for address in "xyz")
    if gone:
        layer.crew.seen("defxyz", 0.1)
    else:
        for address in "abc":
            layer.crew.leaving(NAMES[address], 0.1)
    assert sorted(layer.crew.roster.addresses[:3]) == list("xyz")
    (slot,) = encoded(layer.round.handle(CrewChanged(), 0.1))
    address = layer.crew.roster.address(slot)
    commands = layer.encoded(slot, now=0.1)
    assert commands == [HurryShare(slot, address), PlaceShare(slot, address)]


def test_what_it_leaves_unanswered_fails_and_is_tried_elsewhere(paper):
    """Where its slot has another worker already, which was sent nothing."""
    layer = paper(crew=crew_of(spare="x"))
    layer.begin()
    layer.fail(4, now=0.1)
    layer.fail(5, now=0.1)
    layer.crew.roster.replace(0, "x")  # as another layer would
    assert encoded(layer.fail(0, worker="a", now=0.2)) == [0]
    assert layer.encoded(0, now=0.2) == [Send(0, "x")]


# Tiles


def test_its_tiles_go_to_others_at_once_long_before_they_are_late():
    crew = crew_of("abc")
    for health in crew.health.values():
        health.begin("before", -1.0, None)
        health.end("before", 0.0, "kind")
    pieces = [Piece("kind", 1.0, home) for home in "abc"]
    round_ = PieceRound(
        PieceCollector(pieces, "abc"), crew, lambda *_: True, timeout=60.0
    )
    (encode,) = round_.start(0.0)
    round_.handle(Encoded(encode.slots), 0.0)
    assert crew.health["b"].deadline((round_, 1)) > 1.0
    crew.leaving(NAMES["b"], 0.1)
    (send,) = round_.handle(CrewChanged(), 0.1)
    assert send.slot == 1
    assert send.worker in "ac"
    # Who leaves may still be the first.
    round_.handle(Answered(1, "b", 8, 0.2), 0.2)
    assert round_.collector.used == {1: "b"}
    for piece, worker in ((0, "a"), (2, "c")):
        round_.handle(Answered(piece, worker, 8, 0.4), 0.4)
    assert round_.over

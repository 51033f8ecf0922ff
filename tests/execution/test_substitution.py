"""Whom a layer gives the parts of workers that will not answer."""

from types import SimpleNamespace

import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.collector import Collector
from fcdcc_keras.execution.health import FAILING_FOR, Health
from fcdcc_keras.execution.roster import Roster
from fcdcc_keras.execution.substitution import MOST_TRIES, Substitution

WORKERS = "abcdef"


class _Members:
    """What a substitution asks of the workers, at a time that is set by hand."""

    def __init__(self):
        self.now = 0.0
        self.roster = Roster(WORKERS)
        self.health = {address: Health(address) for address in WORKERS}

    def of(self, slot):
        return self.health[self.roster.address(slot)]

    def sound(self):
        return [a for a, h in self.health.items() if h.sound(self.now)]


@pytest.fixture
def layer():
    """A layer whose results of any four of six workers do."""
    collector = Collector(fk.codes.get("crme")(4, 4, 6), WORKERS)
    members = _Members()
    move = Substitution(collector, members).move_missing
    return SimpleNamespace(collector=collector, members=members, move=move)


def fail(layer, *slots):
    for slot in slots:
        layer.members.of(slot).fail(layer.members.now)
        layer.collector.failed(slot, layer.members.now, "it raised")


def test_nothing_moves_while_the_others_suffice(layer):
    assert layer.move() == []
    fail(layer, 0, 5)
    assert layer.move() == []
    assert layer.members.roster.addresses == tuple(WORKERS)


def test_no_more_move_than_are_needed(layer):
    fail(layer, 0, 1, 5)
    assert layer.move() == [0]
    assert layer.members.roster.address(0) in "cde"


def test_workers_fail_again_and_again(layer):
    fail(layer, 0, 1, 2, 3)
    moved = layer.move()
    assert moved == [0, 1]
    # All that fail are free at once: by their load alone they would be the first.
    assert {layer.members.roster.address(slot) for slot in moved} == {"e", "f"}


def test_who_failed_is_given_others_parts_again_after_a_while(layer):
    fail(layer, *range(6))
    assert layer.move() == []
    assert layer.collector.hopeless
    layer.members.now += FAILING_FOR
    assert layer.move() == [0, 1, 2, 3]


def test_a_part_is_not_tried_for_ever(layer):
    for slot in range(3, 6):
        layer.members.of(slot).leave()
    tried = []
    for _ in range(MOST_TRIES + 1):
        layer.collector.failed(0, 0.0, "it raised")
        layer.collector.failed(4, 0.0, "it raised")
        layer.collector.failed(5, 0.0, "it raised")
        tried.append([s for s in layer.move() if s == 0])
        layer.collector.again(0)
    assert tried[-1] == []


def test_a_part_goes_to_no_worker_twice(layer):
    fail(layer, 0, 1, 2)
    homes = []
    for _ in range(MOST_TRIES):
        if layer.move() == [0]:
            homes.append(layer.members.roster.address(0))
        layer.collector.failed(0, 0.0, "it raised")
    # Its own worker was the first.
    assert len(set(homes)) == len(homes) == MOST_TRIES - 1
    assert set(homes) <= set("def")
    assert layer.move() == [1]  # then the next is tried


def test_answers_count_whatever_became_of_their_workers(layer):
    for slot in range(3):
        layer.collector.sent(slot, 0.0, 1)
        layer.collector.answered(slot, 0.0, np.zeros(1))
        layer.members.of(slot).leave()
    fail(layer, 4, 5)
    assert layer.move() == []  # the fourth is well
    layer.members.of(3).pinged(answered=False)
    layer.members.now += FAILING_FOR
    assert layer.move() == [3]
    assert layer.members.roster.address(3) in "ef"


def test_where_nobody_is_sound_nothing_moves(layer):
    for slot in range(6):
        layer.members.of(slot).leave()
    assert layer.move() == []
    assert layer.members.roster.addresses == tuple(WORKERS)

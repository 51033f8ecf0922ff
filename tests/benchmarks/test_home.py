"""Boards at a switch: what figures read, what happens in a round, what devices do."""

import json
import subprocess
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from benchmarks.faults.predictors import Answer, Here
from benchmarks.faults.subjects import Subject
from benchmarks.figures import home, home_lab, models
from benchmarks.figures.edge_device import (
    KERAS,
    LIGHT,
    MAP,
    PLANNED,
    SPECULATION,
    Contenders,
)
from benchmarks.figures.home_lab import FAULTY, OURS, Measured, Situation
from benchmarks.figures.lab import Remote
from benchmarks.figures.run import Run
from fcdcc_keras import closing, distribute
from fcdcc_keras.errors import FcdccError


def measured(**seconds):
    turns = {OURS: [{"sent": 3_000_000, "received": 1_500_000}] * 3}
    return Measured(seconds, turns, {OURS: {"expected": 1.5}}, {})


def test_figures_are_read_within_rounds():
    found = measured(
        ours=[1.0, 2.0, 1.0], keras=[3.0, 6.0, 4.0], light=[2.0, 4.0, 2.0],
        faulty=[2.0, 4.0, 4.0],
    )  # fmt: skip
    assert home.over(KERAS)(found).value == 3
    assert home.over_best(found).value == 2
    assert home.faulty_over_well(found).value == 0.5
    assert home.megabytes(found).value == 4.5
    assert home.predicted_over_measured(found) == 1.5
    assert found.rounds == 3


def test_what_predicts_without_workers_sends_nothing():
    found = Measured({OURS: [1.0]}, {OURS: [{"seconds": 1.0}]}, {}, {})
    assert home.megabytes(found).value == 0


class Board:
    """A device whose worker predicts while nothing is wrong with it."""

    def __init__(self, index, events):
        self.address, self.events = f"tcp://{index}", events
        self.well = True

    def _now(self, what, well):
        self.events.append(f"{what} {self.address}")
        self.well = well

    def stop(self):
        self._now("stop", False)

    def resume(self):
        self._now("resume", True)

    def slow(self, factor):
        self._now(f"slow {factor:g}", factor == 1)


class Told:
    """A client's device: who is well again is used some predictions later."""

    def __init__(self, boards, events, until_back):
        self.boards, self.events, self.until_back = boards, events, until_back
        self.away = {}

    def ask(self, do, name, **_):
        self.events.append(f"{do} {name}")
        if do == "parts":
            return {}
        for board in self.boards:
            left = self.until_back if not board.well else self.away.get(board, 0) - 1
            self.away[board] = max(left, 0)
        used = [board.address for board, left in self.away.items() if not left]
        return {"seconds": 1.0 + (len(used) < len(self.boards)), "workers": used}


@pytest.mark.parametrize(
    ("fault", "begin", "end"),
    [
        (
            "stopped",
            ["stop tcp://0", "stop tcp://1"],
            ["resume tcp://0", "resume tcp://1"],
        ),
        ("slow", ["slow 10 tcp://0"], ["slow 1 tcp://0"]),
    ],
)
def test_a_fault_is_known_when_it_is_measured_and_then_over(fault, begin, end):
    events = []
    boards = [Board(index, events) for index in range(4)]
    told = Told(boards, events, until_back=3)
    lab = SimpleNamespace(devices=boards)
    there = home_lab._There(Situation("VGG16", fault=fault), lab, told, at={OURS: told})
    found = there.measure(Run(repeats=2))
    assert found.seconds == {OURS: [1.0, 1.0], FAULTY: [2.0, 2.0]}
    assert found.faults == [{"first_s": 2.0, "predictions_until_back": 3}] * 2
    first = events.index(begin[0])
    assert events[first:][: len(begin)] == begin
    settled = events[first + len(begin) :]
    assert settled[:4] == ["turn ours"] * 4  # three, and the one that counts
    assert settled[4 : 4 + len(end)] == end


def test_workers_that_are_given_nothing_any_more_are_an_error(monkeypatch):
    boards = [Board(index, []) for index in range(3)]
    told = Told(boards, [], until_back=1000)
    lab = SimpleNamespace(devices=boards)
    there = home_lab._There(
        Situation("VGG16", fault="stopped"), lab, told, at={OURS: told}
    )
    with pytest.raises(
        FcdccError, match=r"given work again.*tcp://[01], tcp://[01] us"
    ):
        there.measure(Run(repeats=2))
    assert all(board.well for board in boards)


def test_what_predicts_wrongly_is_not_measured():
    off = SimpleNamespace(prepare=lambda *_, **__: {"deviation": 2e-4})
    there = home_lab._There(Situation("VGG16"), SimpleNamespace(), off)
    with pytest.raises(FcdccError, match=r"coded must predict.*deviation of 0.0002"):
        there.make(off, "coded", PLANNED)


def small(application):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3), name=application)
    x = keras.layers.Conv2D(8, 3, activation="relu")(inputs)
    x = keras.layers.Conv2D(8, 3)(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def test_a_device_predicts_in_every_way(client, monkeypatch):
    monkeypatch.setattr(models, "build", small)
    there = Contenders(client.scheduler.address)
    there.load("small", 4)
    ways = {
        "keras": (KERAS, {}),
        "light": (LIGHT, {}),
        "coded": (PLANNED, {"workers": 4, "stragglers": 1}),
        "copies": (SPECULATION, {"workers": 4}),
        "mapped": (MAP, {"workers": 3}),
    }
    try:
        for name, (way, options) in ways.items():
            made = there.make(name, way, options)
            assert made["deviation"] < 1e-5
        turns = {name: there.turn(name) for name in ways}
        assert json.loads(json.dumps(turns)) == turns
        assert all(turn["seconds"] > 0 for turn in turns.values())
        for name in ("coded", "copies"):
            assert turns[name]["local"] == 0
            assert min(turns[name]["sent"], turns[name]["received"]) > 0
            assert set(turns[name]["workers"]) <= set(client.nthreads())
            assert there.parts(name, [1.0])["layers"] == 2
        assert there.parts("keras", [1.0]) == {}
    finally:
        there.drop()


def test_answers_travel_as_json(client):
    plain = small("small")
    images = [np.ones((1, 16, 16, 3), "float32")]
    subject = Subject(plain, images, [plain.predict_on_batch(x) for x in images])
    with closing(distribute(plain, client, workers=4)) as coded:
        answer = Here(coded, subject).predict(0)
    assert len(answer.records) == 2
    assert answer.deviation < 1e-5
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer


class Machine:
    """A device that is this machine."""

    def start(self, command, env, pipes):
        process = subprocess.Popen(
            command, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        process.log = lambda: process.stderr.read()
        process.close = lambda: (process.kill(), process.communicate())
        return process


def test_a_program_that_ends_is_told_of_with_its_error():
    with Remote(Machine()) as remote:
        assert remote.ask("drop") is None
        with pytest.raises(
            FcdccError, match=r"ended with 1, told to dance.*no attribute"
        ):
            remote.ask("dance")
        with pytest.raises(FcdccError, match="ended with 1, told to drop"):
            remote.ask("drop")

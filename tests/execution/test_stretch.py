"""Stretches in tiles: every survivor set, faults, weights that change, trouble."""

import threading
import warnings
from itertools import combinations, groupby

import numpy as np
import pytest

from fcdcc_keras.coding.finite import UNBOUNDED
from fcdcc_keras.coding.job import Placement
from fcdcc_keras.errors import CorruptResultError, NotEnoughWorkersError
from fcdcc_keras.execution.executors.local import LOST, LocalExecutor, LocalFault
from fcdcc_keras.execution.forward.stretch import DistributedStretch
from fcdcc_keras.execution.records import Notes, Policy
from fcdcc_keras.partition.stretch import Stretch, crossings
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.programs import (
    Activation,
    Convolution,
    Dense,
    GlobalAveragePool,
    MaxPool,
    Merge,
    Program,
)
from fcdcc_keras.worker.engines.numpy import NumPyEngine

WORKERS = 5
SIZE = (19, 17)
PLACES = {
    "one chain": (("pool", "workers"),),
    "two chains": (("pool", "workers"), ("sum", "workers")),
    "then the client": (("sum", "workers"), ("scores", "client")),
    "between": (("first", "client"), ("sum", "workers"), ("scores", "client")),
    "whole": (("scores", "workers"),),
}


def program(dtype="float32"):
    same = (1, 1), (1, 1), ((1, 1), (1, 1))
    operations = (
        Convolution((0,), (0, 1), *same),
        Activation((1,), (), "relu"),
        MaxPool((2,), (), (2, 2), (2, 2), ((0, 0), (0, 0))),
        Convolution((3,), (2,), *same),
        Merge((4, 3), (), "add"),
        GlobalAveragePool((5,), (), False),
        Dense((6,), (3, 4)),
    )
    weights = (3, 3, 3, 8), (8,), (3, 3, 8, 8), (8, 4), (4,)
    return Program((3,), 2, operations, weights, dtype)


NAMES = {1: "first", 3: "pool", 5: "sum", 6: "mean", 7: "scores"}


def stretch_of(dtype="float32"):
    made = program(dtype)
    ends = tuple((NAMES.get(v, f"value{v}"), v) for v in crossings(made))
    return lambda size: Stretch("", "input", made, size, ends)


def weights(seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(dtype) / 4 for s in program().weights]


def images(count=2, seed=1, size=SIZE, dtype="float32"):
    shape = (count, *size, 3)
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


class Made:
    """A stretch on workers in this process, and what was told of it."""

    def __init__(
        self,
        faults=None,
        where="two chains",
        workers=WORKERS,
        stragglers=2,
        hedged=True,
        dtype="float32",
        **policy,
    ):
        chains = tuple(ChainPlan(to, p, hedged) for to, p in PLACES[where])
        self.plan = StretchPlan("", "input", SIZE, chains)
        self.executor = LocalExecutor(workers, faults, engine="numpy")
        self.notes, self.records, self.last = Notes(), [], chains[-1].to
        self.notes.listeners.append(self.records.append)
        self.dtype = dtype
        self.stretch = DistributedStretch(
            self.plan,
            stretch_of(dtype),
            list,
            self.executor,
            Policy(**policy),
            self.notes,
            stragglers,
        )

    def check(self, x=None, values=None):
        """Has it compute, and holds the result against all in one in float64."""
        x = images(dtype=self.dtype) if x is None else x
        values = weights(dtype=self.dtype) if values is None else values
        outputs = self.stretch(x, values)
        exact = stretch_of("float64")(x.shape[1:-1]).chain(None, self.last)
        arrays = [values[number].astype("float64") for number in exact.weights]
        engine = NumPyEngine().prepare(exact.program, arrays)
        expected = engine([x.astype("float64")])
        assert outputs.dtype == self.dtype
        error = 1e-6 if self.dtype == "float32" else 1e-14
        limit = error * np.abs(expected).max()
        np.testing.assert_allclose(outputs, expected, atol=limit, rtol=0)
        return self.records

    @property
    def local(self):
        return [record.local for record in self.records if not record.client]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_what_the_whole_program_is(where, dtype):
    made = Made(where=where, dtype=dtype)
    made.check()
    for record in made.records:
        assert record.local is None
        assert {task.outcome for task in record.subtasks} <= {"used"}
        assert record.client == (not record.subtasks)
    assert len({record.call for record in made.records}) == 1
    (there,) = [record for record in made.records if not record.client]
    assert there.transport == "in process"
    runs = [place for place, _ in groupby(place for _, place in PLACES[where])]
    assert [record.client for record in made.records] == [p == "client" for p in runs]


@pytest.mark.parametrize("count", [1, 2, 5, 23])
@pytest.mark.parametrize("size", [(19, 17), (7, 6), (8, 31), (3, 3)])
def test_batches_and_sizes(count, size):
    made = Made(where="then the client")
    made.check(images(count, size=size))
    assert made.local == [None]


@pytest.mark.parametrize("verify", ["off", "finite", "parity"])
@pytest.mark.parametrize("hedged", [True, False])
@pytest.mark.parametrize("missing", range(3))
def test_every_survivor_set(missing, hedged, verify):
    for lost in combinations(range(WORKERS), missing):
        made = Made(dict.fromkeys(lost, LOST), verify=verify, hedged=hedged)
        (record,) = made.check()
        assert record.local is None
        used = {task.worker for task in record.subtasks if task.outcome == "used"}
        assert used <= set(range(WORKERS)) - set(lost)


def test_past_what_may_be_missing_whoever_is_left_does_it():
    made = Made(dict.fromkeys(range(WORKERS - 1), LOST))
    (record,) = made.check()
    assert record.local is None
    assert record.survivors == (WORKERS - 1,)


def test_nobody_is_left_and_the_client_does_it():
    made = Made(dict.fromkeys(range(WORKERS), LOST))
    with pytest.warns(RuntimeWarning, match=r"needs all of its .* tiles\. Received: 0"):
        made.check()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said
        made.check()
    assert made.local == ["too few workers"] * 2


def test_nobody_is_left_and_it_raises():
    made = Made(dict.fromkeys(range(WORKERS), LOST), fallback="raise")
    with pytest.raises(NotEnoughWorkersError, match=r"tiles\. Received: 0 .*: late"):
        made.check()


@pytest.mark.parametrize("verify", ["finite", "parity"])
@pytest.mark.parametrize(
    "fault",
    [
        LocalFault(error="it raised"),
        LocalFault(alter=lambda array: array[..., :1]),
        LocalFault(alter=lambda array: array.astype("float64")),
        LocalFault(alter=lambda array: array * np.nan),
        LocalFault(delay=3.0),
    ],
    ids=["raises", "shape", "type", "nan", "late"],
)
def test_results_that_are_none_are_done_again(fault, verify):
    made = Made({1: fault}, verify=verify)
    for _ in range(2):
        made.check()
    assert made.local == [None, None]


def test_a_liar_is_found_named_and_left_out():
    made = Made({1: LocalFault(alter=lambda array: array + 0.01)}, verify="parity")
    with pytest.warns(RuntimeWarning, match="local-1 gave a result of layer 'first … "):
        made.check()
    made.check()
    assert made.local == [None, None]
    assert "local-1" not in {task.address for task in made.records[1].subtasks}


def test_one_image_of_a_batch_is_wrong():
    def alter(array):
        array = array.copy()
        array[0] += 0.01 * np.abs(array[0]).max()
        return array

    made = Made({1: LocalFault(alter=alter)}, verify="parity", where="one chain")
    x = images(2)
    x[1] *= 1e6
    x[0] *= 1e-3
    values = weights()
    values[1] *= 0  # no bias: the images differ as much in what comes of them
    with pytest.warns(RuntimeWarning, match="local-1 gave"):
        outputs = made.stretch(x, values)
    plain = Made(where="one chain").stretch(x, values)
    np.testing.assert_array_equal(outputs, plain)


@pytest.mark.parametrize("fallback", ["local", "raise"])
def test_two_contradict_each_other(fallback):
    lie = LocalFault(alter=lambda array: array + 0.01)
    made = Made({1: lie}, workers=2, stragglers=1, verify="parity", fallback=fallback)
    if fallback == "raise":
        with pytest.raises(CorruptResultError, match="contradict each other"):
            made.check()
    else:
        with pytest.warns(RuntimeWarning, match="contradict each other"):
            made.check()
        assert made.local == ["results contradict each other"]


def test_true_results_that_are_not_finite():
    made = Made()
    x = images()
    x[0, 3, 3, 1] = np.inf
    with np.errstate(invalid="ignore"):
        outputs = made.stretch(x, weights())
    assert not np.isfinite(outputs[0]).all()
    assert np.isfinite(outputs[1]).all()
    assert made.local == [UNBOUNDED]


def test_numbers_that_overflow_on_the_way():
    made = Made()
    values = weights()
    values[0] *= 1e30
    with np.errstate(over="ignore", invalid="ignore"):
        outputs = made.stretch(images() * 1e10, values)
    assert not np.isfinite(outputs).all()
    assert made.local == [UNBOUNDED]  # two workers said so; the client computed it


def test_weights_that_change_are_noticed():
    made = Made()
    made.check()
    made.check(values=weights(seed=5))
    negative = weights()
    negative[1][0] = -0.0
    positive = weights()
    positive[1][0] = 0.0
    made.check(values=negative)
    (before, *_) = made.stretch.placements
    made.check(values=positive)  # as bits they differ
    assert made.stretch.placements[0] is not before
    assert made.local == [None] * 4
    assert len(made.executor.placements) == 2  # one for each chain


def test_changed_arrays_are_not_taken_for_what_they_were():
    made, values = Made(), weights()
    made.check(values=values)
    values[2][...] += 1.0  # in place
    made.check(values=values)


def test_memory_that_nobody_may_write_to_is_compared_once(monkeypatch):
    made, values, compared = Made(), weights(), []
    equal = np.array_equal

    def counted(one, other):
        compared.append(one)
        return equal(one, other)

    monkeypatch.setattr(np, "array_equal", counted)
    made.check(values=values)
    given = [value.copy() for value in values]
    for value in given:
        value.flags.writeable = False
    many = []
    for _ in range(3):
        compared.clear()
        made.stretch(images(), given)
        many.append(len(compared))
    assert many == [len(values), 0, 0]
    given[2] = given[2] + 1.0
    given[2].flags.writeable = False
    made.check(values=given)


def test_weights_in_use_stay_while_another_thread_changes_them():
    made, computing, changed = Made(), threading.Event(), threading.Event()
    run = made.executor.run_tiles

    def wait(job):
        if not computing.is_set():
            computing.set()
            assert changed.wait(60)
        return run(job)

    made.executor.run_tiles = wait
    first = threading.Thread(target=made.check)
    first.start()
    assert computing.wait(60)
    made.check(values=weights(seed=7))
    assert len(made.executor.placements) == 4
    changed.set()
    first.join()
    assert made.local == [None, None]
    assert len(made.executor.placements) == 2


def test_the_client_has_it_after_detaching():
    made = Made()
    made.check()
    made.stretch.detach()
    assert made.executor.placements == []
    made.check()
    made.check(values=weights(seed=3))
    assert made.local == [None, "not on a cluster", "not on a cluster"]
    assert made.executor.placements == []


def test_an_empty_batch():
    made = Made(where="then the client")
    assert made.stretch(images(0), weights()).shape == (0, 4)
    assert made.local == ["empty batch"]


def test_each_worker_is_given_the_weights_once():
    made = Made(where="then the client")
    made.check()
    (placement,) = made.executor.placements
    assert isinstance(placement, Placement)
    assert placement.held.keys() == set(made.executor.addresses)
    arrays = placement.held["local-0"].arrays
    assert [array.shape for array in arrays] == [(3, 3, 3, 8), (8,), (3, 3, 8, 8)]


def test_images_are_sent_in_rounds():
    made = Made(where="whole")
    (record,) = made.check(images(40))
    assert len(record.subtasks) == 4 * WORKERS
    assert {task.bytes_received for task in record.subtasks} == {2 * 4 * 4}

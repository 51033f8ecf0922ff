"""Waiting for a scheduler, and what is said of what keeps a worker from joining it."""

import errno

import pytest
from distributed import Security
from distributed.cli import dask_worker
from distributed.comm import CommClosedError

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker import main, reach
from fcdcc_keras.worker.reach import wait_for_scheduler

ADDRESS = "tcp://192.0.2.7:8786"
THERE = {"tcp://192.0.2.9:1": {"name": "kitchen"}, "tcp://192.0.2.9:2": {"name": 7}}


@pytest.fixture
def answers(monkeypatch):
    """Has the scheduler answer by one thing after another, with no pause between."""

    def have(*answers):
        left = iter(answers)

        async def identify(*asked):
            answer = next(left)
            if isinstance(answer, BaseException):
                raise answer
            return {"type": "Scheduler", "workers": answer}

        monkeypatch.setattr(reach, "identify", identify)
        monkeypatch.setattr(reach, "_FIRST_PAUSE", 0.0)

    return have


def waited(wait=60, names=("kitchen",)):
    """Returns what came of waiting, and what was said meanwhile."""
    said = []
    address = wait_for_scheduler(ADDRESS, Security(), wait, said.append, names)
    assert address == ADDRESS
    return said


def test_a_name_that_another_has_is_waited_for(answers):
    answers(TimeoutError(), THERE, TimeoutError(), THERE, {})
    assert waited() == [
        f"No scheduler answers at {ADDRESS} (TimeoutError). Trying again.",
        "The worker at tcp://192.0.2.9:1 has the name 'kitchen'. Trying again.",
    ]


def test_a_name_that_another_keeps_is_an_error(answers):
    answers(THERE)
    with pytest.raises(
        ClusterError, match=r"'kitchen', which tcp://192.0.2.9:1 .*--na"
    ):
        waited(wait=0)


@pytest.mark.parametrize("names", [(), ("cellar",), ("cellar", "attic")])
def test_a_name_of_its_own_is_not_waited_for(answers, names):
    answers(THERE)
    assert waited(names=names) == []


def test_what_a_scheduler_is_not_reached_for_is_said():
    """Dask itself says only that it took too long."""
    with pytest.raises(ClusterError, match=r"0 s. Received: .*, \w*[eE]rror: \[Errno"):
        wait_for_scheduler("tcp://127.0.0.1:1", Security(), 0, str)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], []),
        (["--nworkers", "2"], []),
        (["--name", "a", "--nanny"], ["a"]),
        (["--nworkers", "2", "--name", "a"], ["a-0", "a-1"]),
    ],
)
def test_what_workers_will_be_called(options, names):
    assert main._names(options) == names


@pytest.mark.parametrize(
    ("first", "kind", "words"),
    [
        (
            ValueError("Unexpected: {'message': 'name taken, kitchen', 'time': 1}"),
            *(ClusterError, "'kitchen', which another has"),
        ),
        (ValueError("no such thing"), ClusterError, "--x=1: no such thing. Look"),
        (OSError(errno.EADDRINUSE, "in use"), ClusterError, "--x=1: .* in use. Look"),
        # The scheduler has gone meanwhile: that is waited for.
        (CommClosedError("gone"), OSError, "CommClosedError: gone"),
        (KeyError("a fault"), RuntimeError, "Nanny failed to start"),
    ],
)
def test_why_a_worker_does_not_start(monkeypatch, first, kind, words):
    def fails(*arguments, **options):
        try:
            raise RuntimeError("Worker failed to start.") from first
        except RuntimeError as error:
            raise RuntimeError("Nanny failed to start.") from error

    monkeypatch.setattr(dask_worker, "main", fails)
    monkeypatch.setattr(main, "_end_when_interrupted", lambda: None)
    with pytest.raises(kind, match=words):
        main._work(ADDRESS, ["--x=1"])

"""Workers in this process: faults are scripted, time is virtual."""

import math
from typing import Any

import numpy as np
import pytest

from fcdcc_keras.codes import CRME
from fcdcc_keras.coding.job import Job
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.errors import ClusterError, PlanError
from fcdcc_keras.execution.executors.local import LOST, LocalExecutor, LocalFault
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.worker import installed
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.weights import Weights

CODE = CRME(4, 4, 6)  # any 4 of 6
_PLAIN = ConvGeometry((2, 3), 1, 1, (1, 1))


def _shares(workers: Any) -> np.ndarray:
    """A 1×1 kernel for each worker that multiplies by its number."""
    return np.array([[[[[float(w)]]]] for w in workers])


def _ones(workers: Any) -> np.ndarray:
    return np.ones((len(workers), 1, 2, 3, 1))


def _job(executor: LocalExecutor, timeout: float = 10.0) -> Job:
    placement = (executor.placements or [executor.place("conv", _shares)])[0]
    shape, dtype = (1, 2, 3, 1), np.dtype(np.float64)
    return Job("conv", CODE, placement, _ones, _PLAIN, shape, dtype, timeout)


def _run(executor: LocalExecutor, timeout: float = 10.0) -> Collector:
    collector, _ = executor.run(_job(executor, timeout))
    return collector


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Which workers' subtasks were computed, in order."""
    workers: list[float] = []

    def counted(share: Weights, *arguments: Any) -> np.ndarray:
        workers.append(share.arrays[0].item())
        return run(share, *arguments)

    run = Weights.run
    monkeypatch.setattr(Weights, "run", counted)
    return workers


def test_without_faults_the_first_suffice(computed: list[float]) -> None:
    executor = LocalExecutor(6)
    collector, results = executor.run(_job(executor))
    assert executor.workers == 6
    assert [r.address for r in collector.records] == list(executor.addresses)
    assert collector.survivors == (0, 1, 2, 3)
    assert [r.flat[0] for r in results] == [0.0, 1.0, 2.0, 3.0]
    assert [r.outcome for r in collector.records] == ["used"] * 4 + ["late"] * 2
    assert computed == [0.0, 1.0, 2.0, 3.0]  # nothing that would come too late
    assert all(r.sent == 0.0 and r.bytes_sent == 48 for r in collector.records)


def test_virtual_delays_decide_the_survivors(computed: list[float]) -> None:
    delays = [5.0, 0.25, 0.5, 7.0, 0.0, 1.5]
    executor = LocalExecutor(6, {w: LocalFault(delay=d) for w, d in enumerate(delays)})
    collector = _run(executor)
    assert computed == [4.0, 1.0, 2.0, 5.0]
    assert collector.survivors == (1, 2, 4, 5)
    received = [r.received for r in collector.records]
    assert received == [None, 0.25, 0.5, None, 0.0, 1.5]


def test_equal_delays_come_in_the_order_of_the_workers(computed: list[float]) -> None:
    script = {w: LocalFault(delay=1.0) for w in (0, 2)}
    _run(LocalExecutor(6, script))
    assert computed == [1.0, 3.0, 4.0, 5.0]


def test_lost_workers_never_answer() -> None:
    assert math.inf == LOST.delay
    collector = _run(LocalExecutor(6, {0: LOST, 3: LOST}), timeout=math.inf)
    assert collector.complete
    assert collector.survivors == (1, 2, 4, 5)
    executor = LocalExecutor(6, dict.fromkeys((0, 3, 5), LOST))
    collector = _run(executor)
    assert not collector.complete
    assert collector.survivors == (1, 2, 4)
    outcomes = [r.outcome for r in collector.records]
    assert outcomes == ["late", "used", "used", "late", "used", "late"]


def test_answers_after_the_timeout_are_not_waited_for() -> None:
    script = {w: LocalFault(delay=float(w)) for w in range(6)}
    assert _run(LocalExecutor(6, script), timeout=2.0).survivors == (0, 1, 2)
    assert _run(LocalExecutor(6, script), timeout=3.0).survivors == (0, 1, 2, 3)


def test_errors_are_erasures(computed: list[float]) -> None:
    script = {
        1: LocalFault(error="out of memory"),
        2: LocalFault(delay=1.0, error="disk full"),
    }
    collector = _run(LocalExecutor(6, script))
    assert collector.survivors == (0, 3, 4, 5)
    assert collector.records[1].outcome == "failed"
    assert collector.records[1].detail == "out of memory"
    assert collector.records[2].outcome == "late"  # complete before it failed
    assert computed == [0.0, 3.0, 4.0, 5.0]


def test_a_function_scripts_call_by_call() -> None:
    asked: list[tuple[int, int]] = []

    def script(call: int, worker: int) -> LocalFault | None:
        asked.append((call, worker))
        return LOST if worker in (call, call + 1) else None

    executor = LocalExecutor(6, script)
    survivors = [_run(executor).survivors for _ in range(3)]
    assert survivors == [(2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5)]
    assert asked == [(call, worker) for call in range(3) for worker in range(6)]


def test_the_script_may_be_replaced_between_calls() -> None:
    executor = LocalExecutor(6)
    assert _run(executor).survivors == (0, 1, 2, 3)
    executor.faults = {0: LOST}
    assert _run(executor).survivors == (1, 2, 3, 4)


def test_runs_are_all_the_same() -> None:
    script = {0: LocalFault(delay=2.0), 1: LocalFault(error="no"), 4: LOST}
    executors = [LocalExecutor(6, script) for _ in range(2)]
    runs, results = zip(*(e.run(_job(e)) for e in executors), strict=True)
    first, second = ([r.tobytes() for r in each] for each in results)
    assert first == second
    fates = [[(r.outcome, r.received) for r in run.records] for run in runs]
    assert fates[0] == fates[1]


@pytest.mark.parametrize(
    "share",
    [
        np.ones((1, 1, 1, 2)),
        np.ones((1, 1, 1, 1), np.float32),
        np.ones((1, 1, 7, 1)),
    ],
    ids=["filters", "type", "channels"],
)
def test_a_share_of_something_else_is_an_erasure(share: np.ndarray) -> None:
    executor = LocalExecutor(6)
    job = _job(executor)
    job.placement.held[1] = Weights(share)
    collector, _ = executor.run(job)
    assert collector.survivors == (0, 2, 3, 4)
    assert collector.records[1].outcome == "failed"
    assert collector.records[1].detail.startswith("PlanError: The weights")


@pytest.mark.parametrize(
    ("array", "error", "wrong"),
    [
        (np.zeros((1, 2, 3, 1)), None, None),
        (np.zeros((1, 2, 3, 1), np.float32), None, "type float32 in place of"),
        (np.zeros((2, 2, 3, 1)), None, "shape (2, 2, 3, 1)"),
        (None, "ValueError: no", "ValueError: no"),
        (None, None, "no result"),
    ],
)
def test_replies_are_checked(array: Any, error: Any, wrong: str | None) -> None:
    reply = Reply(array=array, error=error, started=0.0, finished=0.0)
    found = _job(LocalExecutor(6)).check(reply)
    assert (found is None) if wrong is None else (wrong in str(found))


def test_releasing_and_closing_free_the_shares() -> None:
    executor = LocalExecutor(3)
    first, second = executor.place("first", _shares), executor.place("second", _shares)
    assert [p.name for p in executor.placements] == ["first", "second"]
    assert [second.held[w].arrays[0].item() for w in range(3)] == [0.0, 1.0, 2.0]
    executor.release(first)
    executor.release(first)
    assert executor.placements == [second]
    assert not first.held
    executor.close()
    assert executor.placements == []
    assert not second.held


@pytest.mark.parametrize("workers", [0, -2])
def test_there_must_be_a_worker(workers: int) -> None:
    with pytest.raises(PlanError, match=f"Received: workers={workers}"):
        LocalExecutor(workers)


@pytest.mark.parametrize(
    ("engine", "dtype", "computes"),
    [
        ("tensorflow", "float32", "tensorflow"),
        ("light", "float32", "light"),
        ("light", "float64", "numpy"),
        ("numpy", "float32", "numpy"),
    ],
)
def test_workers_compute_with_an_engine(engine: str, dtype: str, computes: str) -> None:
    """As a worker of that engine: NumPy has what the light one lacks."""
    executor = LocalExecutor(6, engine=engine)
    placement = executor.place("conv", lambda w: _shares(w).astype(dtype))
    shape, of = (1, 2, 3, 1), np.dtype(dtype)

    def ones(workers: Any, allocate: Any = None) -> np.ndarray:
        return _ones(workers).astype(dtype)

    job = Job("conv", CODE, placement, ones, _PLAIN, shape, of, 10.0)
    collector, results = executor.run(job)
    assert [r.engine for r in collector.records] == [computes] * 4 + ["", ""]
    for worker, result in zip(collector.survivors, results, strict=True):
        np.testing.assert_array_equal(result, np.full(shape, worker, dtype))


def test_an_engine_must_be_one_and_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match=r"tensorflow, light, numpy.*engine='torch'"):
        LocalExecutor(6, engine="torch")
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(ClusterError, match="Received: engine='light'"):
        LocalExecutor(6, engine="light")
    LocalExecutor(6, engine="numpy")


def test_an_interrupt_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(Weights, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run(LocalExecutor(6))

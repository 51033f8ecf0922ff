"""Stopping and killing processes, and giving them back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from fcdcc_keras.commands import faults
from fcdcc_keras.commands.faults import Saboteur, Striker, orderly_end
from fcdcc_keras.errors import ClusterError

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="process states are named differently there"
)


class _Client:
    """Stands in for a ``distributed.Client`` whose workers do nothing."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = {f"tcp://127.0.0.1:{9000 + i}": p for i, p in enumerate(pids)}
        self._looks = 0
        self._joining: int | None = None

    def will_join(self, pid: int) -> None:
        """Lets a worker be there from the third look on."""
        self._joining = pid

    def run(self, function: object, workers: list[str] | None = None) -> dict[str, int]:
        return {w: p for w, p in self._pids.items() if workers is None or w in workers}

    def nthreads(self) -> dict[str, int]:
        self._looks += 1
        if self._joining is not None and self._looks == 3:
            self._pids["tcp://127.0.0.1:9999"] = self._joining
        return dict.fromkeys(self._pids, 1)


@pytest.fixture
def processes() -> Iterator[list[psutil.Process]]:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"],
            stdin=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    yield [psutil.Process(process.pid) for process in started]
    for process in started:
        process.kill()
        process.communicate()


def test_one_is_stopped_and_one_killed(processes: list[psutil.Process]) -> None:
    first, second, third = processes
    with Saboteur(_Client([process.pid for process in processes])) as saboteur:
        saboteur.stop(0)
        saboteur.restart(1)
        _await_change(first, os.WSTOPPED)
        assert second.wait(timeout=60) == -signal.SIGKILL
    _await_change(first, os.WCONTINUED)
    assert third.is_running()


def test_a_fault_strikes_each_of_its_workers(processes: list[psutil.Process]) -> None:
    stop, kill = faults.parse("stop 0, 2 at 10%; kill 1 at 20%")
    with Striker(processes.__getitem__) as striker:
        striker.strike(stop)
        _await_change(processes[0], os.WSTOPPED)
        _await_change(processes[2], os.WSTOPPED)
        assert processes[1].status() != psutil.STATUS_STOPPED
        striker.strike(kill)
        assert processes[1].wait(timeout=10) == -signal.SIGKILL
    _await_change(processes[2], os.WCONTINUED)


def test_one_that_is_started_anew_is_stopped_until_the_end(
    processes: list[psutil.Process],
) -> None:
    first, second, anew = processes
    client = _Client([first.pid, second.pid])
    client.will_join(anew.pid)
    with Saboteur(client) as saboteur:
        saboteur.restart(0)
        saboteur.stop_restarted()
        _await_change(anew, os.WSTOPPED)
        assert second.status() != psutil.STATUS_STOPPED
    _await_change(anew, os.WCONTINUED)


def test_one_that_is_not_started_anew_is_said(
    processes: list[psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "_RESTART_SECONDS", 0.1)
    with Saboteur(_Client([process.pid for process in processes])) as saboteur:
        saboteur.restart(0)
        with pytest.raises(ClusterError, match=r"Received: 0 of 1 are"):
            saboteur.stop_restarted()


def test_killing_takes_the_nanny_too() -> None:
    child = "import sys; sys.stdin.read()"
    nanny = (
        "import subprocess, sys; worker = subprocess.Popen([sys.executable, '-c', "
        f"{child!r}]); print(worker.pid, flush=True); worker.wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", nanny],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    worker = psutil.Process(int(parent.stdout.readline()))
    with Saboteur(_Client([worker.pid])) as saboteur:
        saboteur.kill(0)
        assert parent.wait(timeout=60) == -signal.SIGKILL
    parent.communicate()
    deadline = time.monotonic() + 60
    while _runs(worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_resumed_process_runs(processes: list[psutil.Process]) -> None:
    with Saboteur(_Client([process.pid for process in processes])) as saboteur:
        saboteur.stop(2)
        _await_change(processes[2], os.WSTOPPED)
        saboteur.resume(2)
        _await_change(processes[2], os.WCONTINUED)


def test_stopped_process_runs_again_after_an_error(
    processes: list[psutil.Process],
) -> None:
    def interrupted() -> None:
        with Saboteur(_Client([process.pid for process in processes])) as saboteur:
            saboteur.stop(0)
            _await_change(processes[0], os.WSTOPPED)
            raise KeyboardInterrupt("half way")

    with pytest.raises(KeyboardInterrupt, match="half way"):
        interrupted()
    _await_change(processes[0], os.WCONTINUED)


def test_termination_unwinds_and_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    unwound = []

    def terminated() -> None:
        with orderly_end():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                unwound.append(True)

    with pytest.raises(SystemExit, match="143"):
        terminated()
    assert unwound == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def _runs(process: psutil.Process) -> bool:
    """Returns whether a process lives; where nobody waits for it, it stays a zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _await_change(process: psutil.Process, change: int) -> None:
    """Waits until a child process has been stopped or continued."""
    os.waitid(os.P_PID, process.pid, change)

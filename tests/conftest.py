"""What all tests share: a cluster for the session, small models, quiet TensorFlow."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from functools import cache
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

WORKERS = 4
"""Workers of the session's cluster."""


LONGEST = (
    *("system/test_demo", "system/test_worker_command", "cluster/test_edge_lab"),
    *("system/test_faults", "system/test_accuracy", "system/test_storm"),
    *("system/test_readme", "system/test_no_trace", "layers/test_keras_own"),
    *("cluster/test_edge_lab_traces", "commands/test_evaluate", "system"),
    *("benchmarks", "rewriting", "execution", "layers"),
)
"""Files and folders that take longest, those first that take more than others."""
_TESTS = Path(__file__).parent
_TAKES_CLIENT = re.compile(r"def test_\w+\([^)]*\bclient\b|getfixturevalue\(.client")
_HAS_ITS_OWN = re.compile(r"^def client\(", re.MULTILINE)


@cache
def _shares_cluster(file: Path) -> bool:
    """Returns whether a file's tests use the session's cluster."""
    text = file.read_text("utf-8")
    return bool(_TAKES_CLIENT.search(text)) and not _HAS_ITS_OWN.search(text)


def pytest_configure() -> None:
    """Has the tests find their process as it is when a terminal starts it.

    A shell that starts a job in the background has it, and all that it starts, ignore
    Ctrl-C.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has the longest files run first, so that none is left to run by itself.

    And has ``Client.run`` send their functions by value: by reference a worker would
    import the tests' file, and with it Keras and TensorFlow, which takes five seconds.
    """
    for module in {item.module for item in items if isinstance(item, pytest.Function)}:
        cloudpickle.register_pickle_by_value(module)
    rank = {name: place for place, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> int:
        if _shares_cluster(item.path):
            return -1
        file = item.path.relative_to(_TESTS).with_suffix("")
        return rank.get(file.as_posix(), rank.get(file.parts[0], len(rank)))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Has one process run all that use the session's cluster: it is started once."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "client" if _shares_cluster(_TESTS.parent / file) else file

    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Has some tests wait for others, where several run at once.

    Those marked ``alone`` run with none beside them, those marked ``lab`` with no other
    of these. Before pytest-timeout starts its clock: waiting counts for no test.
    """
    with ExitStack() as stack:
        if "PYTEST_XDIST_WORKER" in os.environ:
            import fcntl

            def lock(path: Path, kind: int) -> None:
                fcntl.flock(stack.enter_context(path.open()), kind)

            here = Path(__file__)
            if item.get_closest_marker("lab"):
                lock(here.parent / "cluster/conftest.py", fcntl.LOCK_EX)
            # Who waits for all others holds the gate: none can begin meanwhile.
            with (here.parents[1] / "pyproject.toml").open() as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)
                alone = item.get_closest_marker("alone")
                lock(here, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        return (yield)


SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD")
    if hasattr(signal, name)  # not all on Windows
]


@pytest.fixture(autouse=True)
def _nothing_for_the_next() -> Iterator[None]:
    """Sees that a test leaves the process to the next as it found it."""

    def state() -> dict[str, Any]:
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        wakeup, umask = signal.set_wakeup_fd(-1), os.umask(0o022)
        signal.set_wakeup_fd(wakeup)
        os.umask(umask)
        return {"wakeup": wakeup, "umask": umask, "cwd": os.getcwd(), **handlers}

    before = state()
    yield
    after = state()
    for number in SIGNALS:
        signal.signal(number, before[number])
    signal.set_wakeup_fd(before["wakeup"])
    os.umask(before["umask"])
    os.chdir(before["cwd"])
    assert after == before


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """A client with its own cluster of worker processes; leave them healthy."""
    from fcdcc_keras.execution.cluster.embedded import (
        start_local_cluster,
        stop_local_cluster,
    )

    client = start_local_cluster(WORKERS)
    yield client
    stop_local_cluster(client)


@pytest.fixture
def rough_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has clusters be measured in a moment, where the order of figures will do."""
    from fcdcc_keras.execution.calibration import calibrate, client, workers

    monkeypatch.setattr(calibrate, "ROUNDS", 4)
    monkeypatch.setattr(calibrate, "LEFT_OUT", 1)
    monkeypatch.setattr(client, "WARM", 0.0)
    monkeypatch.setattr(client, "LEAST", 0.0)
    monkeypatch.setattr(client, "ROUNDS", 1)
    monkeypatch.setattr(workers, "LONG", 0.005)


@pytest.fixture(scope="session")
def survivor_sets() -> Any:
    """Gives all sets of k of n workers."""
    return lambda n, k: list(combinations(range(n), k))


def _split_height(geometry: Any, parts: int, inputs: np.ndarray) -> np.ndarray:
    """Returns the k_A parts of an input as APCP defines them, one after another."""
    if parts == 1:
        return inputs[None]
    rows = -(-geometry.output_size[0] // parts)
    step = rows * geometry.strides[0]
    high = step - geometry.strides[0] + geometry.dilated_kernel[0]
    pads = (geometry.pads[0][0], parts * step + high)
    padded = np.pad(inputs, [(0, 0), pads, (0, 0), (0, 0)])
    return np.stack([padded[:, i * step : i * step + high] for i in range(parts)])


def _merge_height(geometry: Any, outputs: np.ndarray) -> np.ndarray:
    """Returns the output of the whole from those of its parts."""
    return np.concatenate(list(outputs), axis=1)[:, : geometry.output_size[0]]


def _merge_channels(filters: int, outputs: np.ndarray) -> np.ndarray:
    """Returns the output with all channels from those of the kernel's blocks."""
    return np.concatenate(list(outputs), axis=-1)[..., :filters]


@pytest.fixture(scope="session")
def reference() -> SimpleNamespace:
    """Splitting and merging step by step, as the paper has them."""
    return SimpleNamespace(
        split_height=_split_height,
        merge_height=_merge_height,
        merge_channels=_merge_channels,
    )

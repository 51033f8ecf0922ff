"""What all tests share: a cluster for the session, small models, quiet TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

WORKERS = 4
"""Workers of the session's cluster."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has the longest files run first, so that none is left to run by itself."""
    items.sort(key=lambda item: "system" not in item.path.parts)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Has tests marked ``alone`` run with none beside them, where several run at once.

    Before pytest-timeout starts its clock: waiting counts for no test.
    """
    with ExitStack() as stack:
        if "PYTEST_XDIST_WORKER" in os.environ:
            import fcntl

            kind = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
            here = Path(__file__)
            # Who waits for all others holds the gate: none can begin meanwhile.
            with (here.parents[1] / "pyproject.toml").open() as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)
                fcntl.flock(stack.enter_context(here.open()), kind)
        return (yield)


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """A client with its own cluster of worker processes; leave them healthy."""
    from fcdcc_keras.execution.embedded import start_local_cluster, stop_local_cluster

    client = start_local_cluster(WORKERS)
    yield client
    stop_local_cluster(client)


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

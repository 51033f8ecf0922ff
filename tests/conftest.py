"""What all tests share: a cluster for the session, small models, quiet TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

WORKERS = 4
"""Workers of the session's cluster."""


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

"""How many workers a machine can have."""

import pytest

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker import capacity
from fcdcc_keras.worker.capacity import limit_of, most_workers, workers_here


@pytest.mark.parametrize(
    ("cores", "nthreads", "memory", "limit", "expected"),
    [
        (4, 1, 8e9, 0, 4),  # one for each core
        (4, 2, 8e9, 0, 2),
        (4, 3, 8e9, 0, 1),
        (4, 8, 8e9, 0, 1),  # one at least
        (4, 1, 0.9e9, 0, 3),  # as far as the memory is enough
        (4, 1, 0.1e9, 0, 1),
        (4, 1, 8e9, 3e9, 2),  # of what each may take
        (4, 1, 8e9, 0.1e9, 4),  # which may be less than it takes
    ],
)
def test_one_for_each_core_as_far_as_the_memory_is_enough(
    cores: int, nthreads: int, memory: float, limit: float, expected: int
) -> None:
    assert most_workers(cores, nthreads, memory, 0.3e9, limit) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", 0),
        ("0", 0),
        ("0.25", 2e9),
        ("1", 8e9),
        ("2000000", 2e6),
        ("1.5GB", 1.5e9),
        ("1GiB", 2**30),
    ],
)
def test_what_a_limit_says(text: str, expected: float) -> None:
    assert limit_of(text, 8e9) == expected


@pytest.mark.parametrize("text", ["lots", "-1", "nan", "3 apples"])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(ClusterError, match=r"Received: .*for example --memory-limit"):
        limit_of(text, 8e9)


def test_a_heavier_engine_leaves_room_for_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "cores", lambda: 16)
    monkeypatch.setattr(capacity, "memory_here", lambda: (8e9, 2e9))
    assert workers_here(1, "auto", "light") == 8
    assert workers_here(1, "auto", "tensorflow") == 2
    assert workers_here(1, "0.1", "light") == 2

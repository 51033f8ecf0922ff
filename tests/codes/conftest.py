"""The codes that every law is tried on."""

import pytest

from fcdcc_keras.codes import (
    CRME,
    Chebyshev,
    Code,
    KhatriRao,
    Quaternion,
    Replication,
    Rotation,
    Systematic,
    Uncoded,
    Vandermonde,
    odd_q,
)

CODES = [
    *(
        CRME(k_a, k_b, n, q)
        for k_a, k_b, n in [
            (1, 1, 3),
            (2, 1, 2),
            (2, 2, 2),
            (1, 4, 4),
            (6, 1, 5),
            (1, 8, 6),
            (8, 1, 6),
            (4, 4, 6),
            (4, 8, 10),
            (8, 8, 20),
        ]
        for q in sorted({n, odd_q(n)})
    ),
    *(
        Uncoded(*split)
        for split in [(1, 1, 1), (1, 4, 4), (3, 1, 3), (2, 2, 4), (2, 3, 6)]
    ),
    Quaternion(8, 2, 6),
    Quaternion(2, 8, 6),
    Quaternion(16, 1, 6, seed=3),
    Quaternion(4, 4, 6, side="kernel"),
    Quaternion(8, 8, 20),
    Rotation(4, 4, 6),
    Rotation(8, 1, 6, seed=1),
    Rotation(1, 8, 6),
    Systematic(2, 2, 6),
    Systematic(4, 1, 4),
    Systematic(8, 2, 6, parity="quaternion"),
    Systematic(2, 8, 6, parity="quaternion"),
    Systematic(4, 4, 7, parity="quaternion", side="kernel"),
    KhatriRao(2, 2, 6),
    KhatriRao(3, 2, 8, seed=2),
    Chebyshev(2, 2, 6),
    Chebyshev(3, 2, 8),
    Vandermonde(2, 2, 6),
    Vandermonde(3, 2, 8),
    Replication(2, 1, 6),
    Replication(2, 2, 4),
]


def _label(code: Code) -> str:
    options = [str(value) for value in list(vars(code).values())[3:] if value]
    return " ".join([f"{code.name} {code.k_a},{code.k_b} n={code.workers}", *options])


@pytest.fixture(scope="session", params=CODES, ids=_label)
def code(request: pytest.FixtureRequest) -> Code:
    return request.param

"""The codes that every law is tried on."""

import pytest

from fcdcc_keras.codes import CRME, Code, Uncoded, odd_q

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
]


def _label(code: Code) -> str:
    q = f" q={code.q}" if isinstance(code, CRME) else ""
    return f"{code.name} {code.k_a},{code.k_b} n={code.workers}{q}"


@pytest.fixture(scope="session", params=CODES, ids=_label)
def code(request: pytest.FixtureRequest) -> Code:
    return request.param

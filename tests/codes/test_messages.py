"""What is said of what cannot be, word for word."""

import numpy as np
import pytest

from fcdcc_keras import codes
from fcdcc_keras.codes import (
    CRME,
    Certificate,
    Quaternion,
    Replication,
    Systematic,
    Uncoded,
    certify,
)
from fcdcc_keras.codes.decoding import decoding_matrix
from fcdcc_keras.errors import DecodeError, PlanError

MESSAGES = [
    (
        lambda: CRME(0, 4, 6),
        PlanError,
        "`k_a` must be an integer of at least 1. Received: k_a=0. Give for example 2.",
    ),
    (
        lambda: CRME(4, 4, 6, q=5),
        PlanError,
        "CRME needs an integer q of at least the number of workers. Received: "
        "q=5, workers=6. Use q=6.",
    ),
    (
        lambda: CRME(3, 4, 6),
        PlanError,
        "CRME needs an even number of blocks on each side, or 1. Received: "
        "k_a=3. Use 2 or 4.",
    ),
    (
        lambda: CRME(8, 8, 15),
        PlanError,
        "A code must have at least as many workers as its recovery threshold. "
        "Received: workers=15, k_a=8, k_b=8, which needs 16. Use more workers "
        "or fewer blocks.",
    ),
    (
        lambda: Uncoded(2, 3, 5),
        PlanError,
        "An uncoded split needs exactly one worker for each of its k_a·k_b "
        "blocks. Received: workers=5, k_a=2, k_b=3. Use workers=6, or a code.",
    ),
    (
        lambda: Replication(2, 2, 3),
        PlanError,
        "Replication needs a worker for each of its k_a·k_b blocks. Received: "
        "workers=3, k_a=2, k_b=2. Use at least 4 workers.",
    ),
    (
        lambda: Quaternion(8, 2, 6, side="both"),
        PlanError,
        "`side` must be 'input' or 'kernel'. Received: side='both'. Choose "
        "where the quaternions are.",
    ),
    (
        lambda: Quaternion(6, 2, 6),
        PlanError,
        "The side of the quaternions must have a multiple of 4 blocks. "
        "Received: k_a=6, k_b=2, side='kernel'. Use k_b=4, or the other side.",
    ),
    (
        lambda: Quaternion(2, 5, 6, side="kernel"),
        PlanError,
        "The side of the quaternions must have a multiple of 4 blocks. "
        "Received: k_a=2, k_b=5, side='kernel'. Use k_b=8, or the other side.",
    ),
    (
        lambda: Systematic(2, 2, 6, parity="real"),
        PlanError,
        "`parity` must be 'gaussian', without a side, or 'quaternion'. "
        "Received: parity='real', side=''. Choose one.",
    ),
    (
        lambda: Systematic(2, 2, 6, side="input"),
        PlanError,
        "`parity` must be 'gaussian', without a side, or 'quaternion'. "
        "Received: parity='gaussian', side='input'. Choose one.",
    ),
    (
        lambda: codes.get("turbo"),
        PlanError,
        "The code must be one of 'crme', 'quaternion', 'rotation', "
        "'systematic', 'khatri_rao', 'chebyshev', 'vandermonde', 'uncoded', "
        "'replication'. Received: 'turbo'. Choose one of these names.",
    ),
    (
        lambda: codes.from_dict({"name": "uncoded", "k_a": 1, "z": 2}),
        PlanError,
        "The parameters must be those of the code 'uncoded'. Received: {'k_a': "
        "1, 'z': 2}. Compare with what `to_dict` writes (Uncoded.__init__() got"
        " an unexpected keyword argument 'z').",
    ),
    (
        lambda: CRME(4, 4, 6).decoder([0, 1, 2, 6]),
        DecodeError,
        "Survivors must be distinct workers from 0 to 5. Received: "
        "survivors=(0, 1, 2, 6). Pass each worker once.",
    ),
    (
        lambda: CRME(4, 4, 6).decoder([0, 1, 2]),
        DecodeError,
        "Decoding needs the results of 4 workers. Received: 3, survivors=(0, 1,"
        " 2). Wait for more.",
    ),
    (
        lambda: decoding_matrix(np.ones((2, 1))),
        DecodeError,
        "The results of the survivors must determine every block. Received: 1 "
        "results for 2 unknown blocks, which solve them up to 0.5. Wait for "
        "more workers, or use a code that is better conditioned for this many "
        "stragglers.",
    ),
    (
        lambda: certify(CRME(4, 4, 6)).error("int8"),
        PlanError,
        "`dtype` must be one of float64, float32, float16, bfloat16. Received: "
        "dtype='int8'. Choose the type that the layer computes in.",
    ),
    (
        lambda: Certificate.from_dict({"exact": Uncoded}),
        PlanError,
        "A Certificate must be what `to_dict` writes. Received: exact=<class "
        "'fcdcc_keras.codes.uncoded.Uncoded'>. Write the file again.",
    ),
    (
        lambda: Certificate.from_dict({"exact": "x" * 99}),
        PlanError,
        "A Certificate must be what `to_dict` writes. Received: exact='"
        f"{'x' * 73}. Write the file again.",
    ),
]


@pytest.mark.parametrize(("make", "kind", "message"), MESSAGES)
def test_messages(make, kind, message):
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value) == message

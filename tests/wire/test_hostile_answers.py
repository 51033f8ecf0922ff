"""Answers to direct requests: memory is used again only where they fit it."""

import asyncio
import json
from types import SimpleNamespace

import numpy as np
import pytest
from distributed.security import Security

from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_text
from fcdcc_keras.wire.direct import DirectTransport
from fcdcc_keras.wire.transport import Subtask
from fcdcc_keras.worker.reply import Reply

ADDRESS = "tcp://127.0.0.1:1"
PROGRAM = convolution_text(ConvGeometry((1, 1), 1, 1, (1, 1)), "float32")
RESULT = np.ones((1, 8, 8, 512), np.float32)
SHARED = json.loads(Reply(RESULT, None, 1.0, 2.0, shared=True).to_wire())


def answered(said, data=None):
    """Returns the reply, and whether the segment of the request is free afterwards."""

    async def run():
        transport = DirectTransport(SimpleNamespace(security=Security()))
        transport._shares_memory[ADDRESS] = True
        given = []

        async def ask(op, **message):
            given.append(json.loads(message["about"])["output"])
            return {"about": json.dumps(said), "data": data}

        transport._connection = lambda address: SimpleNamespace(
            ask=ask, close=lambda: None
        )
        share = SimpleNamespace(key="share")
        subtask = Subtask(ADDRESS, share, RESULT, RESULT.nbytes, PROGRAM)
        (task,) = transport.start("conv", [subtask])
        reply, name = await task, tuple(given[0][0])
        error, shape = reply.error, getattr(reply.array, "shape", None)
        del reply, task  # nobody uses it any more
        await asyncio.sleep(0)  # nor does the loop
        transport._memory._collect()
        free = any(segment.name == name for segment, _ in transport._memory._free)
        return error, shape, free

    return asyncio.run(run())


def test_memory_of_a_result_is_used_again_when_it_has_been_read():
    assert answered(SHARED) == (None, RESULT.shape, True)


@pytest.mark.parametrize(
    "said",
    [
        {"shape": [-1, -1]},
        {"shape": [-1, RESULT.size]},
        {"shape": [1, 8, 8, 511]},
        {"shape": [1, 8, 8, 513]},
        {"shape": [2**40]},
        {"dtype": "O"},
        {"dtype": "<f8"},
        {"dtype": "(2,2)<f4"},
        {"shared": False, "shape": [-1]},
        {"shared": False},
        {"started": "soon"},
    ],
)
def test_memory_of_a_refused_result_is_not(said):
    error, shape, free = answered({**SHARED, **said}, b"too short")
    assert "the worker gave no result" in error
    assert (shape, free) == (None, False)

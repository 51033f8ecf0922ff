"""The desk of a worker: every request of an exchange has an answer."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from fcdcc_keras.worker.handler import _Desk
from fcdcc_keras.worker.reply import LOST_SHARE, Reply
from fcdcc_keras.worker.stages import ExchangeStage, packed_stages
from tests.waiting import until_async


class Comm:
    """What a desk answers to."""

    def __init__(self):
        self.answers = []

    async def write(self, message):
        self.answers.append(message)

    @property
    def said(self):
        (answer,) = self.answers
        return answer["number"], Reply.from_wire(answer["about"], 0, lambda: b"")


def desk_with(data=None):
    worker = SimpleNamespace(data=data or {}, executors={"default": None})
    worker.connection_args = {}
    return _Desk(worker)


STAGE = ExchangeStage("next", "a program", (1, 2, 2, 1), (), (), ((1, ((0, 1),)),))
ABOUT = '{"shape": [1], "dtype": "<f4", "program": "none", "turn": ["it", 0, 60.0]}'


@pytest.mark.parametrize(
    ("data", "about", "stages", "said"),
    [
        ({"first": None}, ABOUT, b"no stages", "Error -3 while decompressing"),
        ({"first": None}, "{}", packed_stages([]), "KeyError"),
        ({"first": None, "next": None}, ABOUT, packed_stages([STAGE]), "arrays"),
        ({"first": None}, ABOUT, packed_stages([STAGE]), LOST_SHARE),
        ({}, ABOUT, packed_stages([STAGE]), LOST_SHARE),
    ],
    ids=["stages", "about", "weights", "next lost", "first lost"],
)
def test_every_request_has_an_answer(data, about, stages, said):
    async def run():
        desk, comm = desk_with(data), Comm()
        request = {"number": 7, "share": "first", "about": about, "data": b"1234"}
        await desk.compute(comm, **request, stages=stages)
        assert desk.under_way == 1
        await until_async(lambda: not desk.under_way)
        number, reply = comm.said
        assert number == 7
        assert said in reply.error
        assert reply.lost == (
            "" if said != LOST_SHARE else "next" if "first" in data else "first"
        )
        assert not desk._exchange._under_way

    asyncio.run(run())


def test_who_leaves_ends_an_exchange_first_and_who_closes_gives_it_up():
    """As a farewell waits for what is under way."""

    async def run():
        desk, comm = desk_with({"first": None, "next": None}), Comm()

        async def compute(*what):
            return Reply(np.zeros((1, 2, 2, 1), "float32"), None, 1.0, 2.0)

        desk._compute = compute
        await desk.compute(
            comm,
            number=1,
            share="first",
            about=ABOUT,
            data=b"1234",
            stages=packed_stages([STAGE]),
        )
        await until_async(lambda: desk._exchange._coming)
        assert desk.under_way == 1
        await desk.close({})
        await until_async(lambda: not desk.under_way)
        assert comm.said[1].error == "the worker closes"

    asyncio.run(run())

"""Deadlines for a scheduler that is silent, without one; and what it says of memory."""

import asyncio
import socket
from types import SimpleNamespace

import pytest
from distributed import Security

import fcdcc_keras as fk
from fcdcc_keras.execution.cluster import memory, patience
from fcdcc_keras.execution.cluster.memory import Memory
from fcdcc_keras.execution.cluster.patience import (
    ask_scheduler,
    while_scheduler_answers,
)
from fcdcc_keras.execution.executors.connect import connect
from fcdcc_keras.worker.reach import wait_for_scheduler


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(patience, "SCHEDULER_TIMEOUT", 0.2)
    monkeypatch.setattr(patience, "_AGAIN", 0.01)
    monkeypatch.setattr(memory, "_SAID_WITHIN", 0.1)


@pytest.fixture
def mute():
    """An address where connections are taken, and nothing ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def client(**answers):
    """A client whose scheduler answers so, or never where there is no answer."""

    async def never():
        await asyncio.Event().wait()

    async def say(answer):
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    scheduler = SimpleNamespace(address="tcp://h:1")
    for op in ("echo", "identity", "events"):
        answer = answers.get(op)
        reply = (
            (lambda **_: never()) if answer is None else lambda a=answer, **_: say(a)
        )
        setattr(scheduler, op, reply)
    return SimpleNamespace(scheduler=scheduler)


@pytest.mark.parametrize(
    ("answers", "received"),
    [({}, "no answer from tcp://h:1"), ({"echo": OSError("it broke")}, "it broke")],
)
def test_a_silent_scheduler_is_told(answers, received):
    with pytest.raises(fk.ClusterError, match=rf"within 0.2 s. Received: {received}"):
        asyncio.run(ask_scheduler(client(**answers), "echo", data=1))


def test_what_cannot_end_without_the_scheduler_ends():
    cancelled = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async def attempt():
        with pytest.raises(fk.ClusterError, match="Received: no answer"):
            await while_scheduler_answers(client(), work)
        await asyncio.sleep(0)  # the cancelled work ends

    asyncio.run(attempt())
    assert cancelled == [True]


def test_work_beside_a_scheduler_that_answers_is_its_own():
    async def work(argument):
        await asyncio.sleep(0.05)  # several questions
        if argument == "wrong":
            raise KeyError(argument)
        return argument

    well = client(echo=1)
    assert asyncio.run(while_scheduler_answers(well, work, "right")) == "right"
    with pytest.raises(KeyError, match="wrong"):
        asyncio.run(while_scheduler_answers(well, work, "wrong"))


def test_an_address_that_is_mute(mute):
    # Connecting succeeds; Dask would wait for ever for the first word.
    with pytest.raises(fk.ClusterError, match=f"Received: cluster='{mute}'"):
        connect(mute, None, 1)
    said = []
    with pytest.raises(fk.ClusterError, match=rf"within 0 s. Received: '{mute}'"):
        wait_for_scheduler(mute, Security(), 0, said.append)


def identity(status="running", limit=300_000_000, **there):
    found = {"memory_limit": limit, "metrics": {"memory": 280e6}, "status": status}
    return {"workers": {address: found for address in there}}


def lacking(*identities, events=()):
    """What is told of worker "a" by what the scheduler says, one after another."""
    said = iter(identities)
    known = Memory(client(identity=lambda: next(said), events=lambda: events))

    async def look_twice():
        await known.look()
        return await known.lacking(["a"])

    return asyncio.run(look_twice())


def test_what_is_told_of_a_worker_without_memory():
    here, gone = identity(a=1), identity()
    assert lacking(here, here) == {}
    assert lacking(here, gone) == {"a": "it left the cluster"}
    events = ((0.0, {"worker": "a", "rss": 290e6}), (1.0, {"worker": "b", "rss": 1e9}))
    lacks = "of the 300 MB that --memory-limit allows, while TensorFlow takes 600 MB"
    told = lacking(here, gone, events=events)["a"]
    assert "--engine light 120 MB" in told
    assert told.startswith(f"it had 290 MB in use {lacks}")
    paused = identity("paused", a=1)
    assert lacking(here, paused)["a"].startswith(f"it had 280 MB in use {lacks}")
    large = identity("paused", limit=800_000_000, a=1)
    assert lacking(large, large)["a"].endswith("800 MB that --memory-limit allows")

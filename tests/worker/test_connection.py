"""Requests on one connection: answered by number, in any order, or all failed."""

import asyncio

import pytest
from distributed.core import Server, Status

from fcdcc_keras.worker.connection import Connection


class Counterpart(Server):
    """Answers "last" requests at once, and others when it is told to."""

    def __init__(self):
        super().__init__({"ask": self.ask, "leave": self.leave})
        self.asked, self.go = [], asyncio.Event()
        self.tasks = set()

    async def ask(self, comm, number, what):
        self.asked.append(what)

        async def answer():
            if what != "last":
                await self.go.wait()
            await comm.write({"number": number, "what": what})

        task = asyncio.ensure_future(answer())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return Status.dont_reply

    async def leave(self, comm, number):
        comm.abort()
        return Status.dont_reply


def with_counterpart(test):
    async def run():
        async with Counterpart() as server:
            await server.listen("tcp://127.0.0.1:0")
            connection = Connection(server.address, {})
            try:
                await asyncio.wait_for(test(server, connection), 20)
            finally:
                connection.close()

    asyncio.run(run())


def test_answers_find_their_requests_in_any_order():
    async def test(server, connection):
        slow = [asyncio.ensure_future(connection.ask("ask", what=w)) for w in "abc"]
        last = asyncio.ensure_future(connection.ask("ask", what="last"))
        assert (await last)["what"] == "last"
        assert server.asked == ["a", "b", "c", "last"]
        assert not any(request.done() for request in slow)
        server.go.set()
        assert [(await request)["what"] for request in slow] == ["a", "b", "c"]
        assert len(server._comms) == 1

    with_counterpart(test)


def test_a_broken_line_fails_what_waits_and_is_opened_anew():
    async def test(server, connection):
        waiting = asyncio.ensure_future(connection.ask("ask", what="a"))
        with pytest.raises(OSError, match="connection broke"):
            await connection.ask("leave")
        with pytest.raises(OSError, match="connection broke"):
            await waiting
        assert (await connection.ask("ask", what="last"))["what"] == "last"

    with_counterpart(test)


def test_a_request_that_is_given_up_does_not_disturb_others():
    async def test(server, connection):
        given_up = asyncio.ensure_future(connection.ask("ask", what="a"))
        other = asyncio.ensure_future(connection.ask("ask", what="b"))
        await connection.ask("ask", what="last")
        given_up.cancel()
        server.go.set()
        assert (await other)["what"] == "b"
        assert not connection._waiting

    with_counterpart(test)


def test_closing_fails_what_waits():
    async def test(server, connection):
        waiting = asyncio.ensure_future(connection.ask("ask", what="a"))
        await connection.ask("ask", what="last")
        connection.close()
        with pytest.raises(OSError, match="closed"):
            await waiting

    with_counterpart(test)


def test_nobody_there():
    async def run():
        connection = Connection("tcp://127.0.0.1:1", {"timeout": 0.2})
        with pytest.raises(OSError, match="Timed out"):
            await connection.ask("ask", what="a")
        assert not connection._waiting

    asyncio.run(run())


def test_after_closing_nothing_opens_it_again():
    async def test(server, connection):
        first = asyncio.ensure_future(connection.tell("ask", number=0, what="a"))
        second = asyncio.ensure_future(connection.ask("ask", what="last"))
        await asyncio.sleep(0)  # one connects, another waits for that
        connection.close()
        for waiting in (first, second, connection.ask("ask", what="last")):
            with pytest.raises(OSError, match="closed"):
                await waiting
        assert not connection.is_open
        assert server.asked == []

    with_counterpart(test)

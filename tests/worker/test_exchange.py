"""Halos from worker to worker: in any order, too late, not at all, and wrong."""

import asyncio
import time

import numpy as np
import pytest
from distributed.core import Server, Status

from fcdcc_keras.worker import exchange as module
from fcdcc_keras.worker.engines.numpy import NumPyEngine
from fcdcc_keras.worker.exchange import HALO, UNREACHED, WAITED, Exchange, Turn
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.stages import unpacked_stages
from tests.exchanging import CUTS, CutNetwork
from tests.waiting import until_async

LONG = 60.0
"""Seconds that no test waits."""


class Peer(Server):
    """A worker as far as halos go, with gates that its tiles wait at."""

    def __init__(self):
        super().__init__({HALO: self.take})
        self.exchange, self.computed = Exchange({}), 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error = None

    async def take(self, comm, **halo):
        self.exchange.take(**halo)
        return Status.dont_reply

    async def compute(self, weights, inputs, shape, program):
        await self.gate.wait()
        self.computed += 1

        def work():
            if self.error is not None:
                raise self.error
            given = inputs()
            assert given.shape == tuple(shape)
            result = weights.run(given, program, NumPyEngine(), 1)
            result.flags.writeable = False  # as engines may have it
            return result

        return Reply.of(work)


class Team:
    """Peers, and a network whose tiles they have."""

    def __init__(self, peers, network, addresses=None):
        self.peers, self.network = peers, network
        self.addresses = addresses or tuple(peer.address for peer in peers)
        keys = tuple(f"key{n}" for n in range(1, len(network.run.chains)))
        packed = [
            network.run.stages(slot, self.addresses, keys)
            for slot in range(len(network.run.sizes))
        ]
        self.stages = list(map(unpacked_stages, packed))

    def begin(self, slot, name="it", patience=LONG):
        """Has a worker begin."""
        peer, tile = self.peers[slot], self.network.run.chains[0].tiles[slot]
        (crop,) = tile.tile.crop([self.network.inputs])
        first = (lambda: crop), crop.shape, tile.text
        turn, stages = Turn(name, slot, patience), self.stages[slot]
        return asyncio.ensure_future(
            peer.exchange.run(turn, self.network.weights, first, stages, peer.compute)
        )

    async def all(self, name="it", patience=LONG):
        slots = range(len(self.peers))
        return await asyncio.gather(*[self.begin(s, name, patience) for s in slots])

    def check(self, replies):
        """Checks that what they give is the whole."""
        last = self.network.run.chains[-1]
        outputs = np.full(last.shape, np.nan)
        for tile, reply in zip(last.tiles, replies, strict=True):
            assert reply.error is None
            assert reply.chains == len(self.network.run.chains)
            outputs[tuple(slice(r.start, r.stop) for r in tile.tile.output)] = (
                reply.array
            )
        self.network.check(outputs)

    async def works(self, name):
        """Checks that the next exchange is as if nothing had happened."""
        self.check(await asyncio.wait_for(self.all(name), 20))


def with_team(test, cut="rows", name="plain", count=None):
    network = CutNetwork(name, CUTS[cut])

    async def run():
        peers = [Peer() for _ in range(count or len(network.run.sizes))]
        for peer in peers:
            await peer.listen("tcp://127.0.0.1:0")
        try:
            await asyncio.wait_for(test(Team(peers, network)), 30)
        finally:
            for peer in peers:
                await peer.exchange.close()
                await peer.close()
        for peer in peers:
            assert not peer.exchange._giving
            assert not peer.exchange._under_way
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in left if "fcdcc_keras" in repr(task)]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("plain", "rows"),
        ("plain", "grid"),
        ("residual", "uneven"),
        ("wavenet", "images"),
        ("volume", "grid"),
    ],
)
def test_they_compute_the_whole(name, cut):
    async def test(team):
        for number in range(2):
            replies = await team.all(f"it{number}")
            team.check(replies)
            for slot, reply in enumerate(replies):
                assert reply.started <= reply.finished
                assert 0.0 <= reply.waited <= reply.finished - reply.started + 1e-3
                taken = sum(
                    8 * int(np.prod([b - a for a, b in box])) * stage.shape[-1]
                    for stage in team.stages[slot]
                    for _, box in stage.takes
                )
                assert reply.received == taken  # the input's are the handler's

    with_team(test, cut, name)


def test_a_rehearsal_needs_nobody_and_numbers_that_are_none_come_of_nothing():
    async def test(team):
        keys = tuple(f"key{n}" for n in range(1, len(team.network.run.chains)))
        packed = team.network.run.stages(1, (), keys)
        team.stages[1] = unpacked_stages(packed)
        reply = await team.begin(1)
        assert reply.chains == len(team.network.run.chains)
        assert np.isfinite(reply.array).all()
        assert not team.peers[1].exchange._connections

    with_team(test)


def test_halos_that_come_before_the_request():
    async def test(team):
        first, second = team.begin(0), team.begin(1)
        coming = team.peers[2].exchange._coming
        await until_async(lambda: "it" in coming and coming["it"].nbytes)
        team.check(await asyncio.gather(first, second, team.begin(2)))

    with_team(test)


def test_two_exchanges_at_a_time():
    async def test(team):
        team.peers[1].gate.clear()
        one = asyncio.ensure_future(team.all("one"))
        two = asyncio.ensure_future(team.all("two"))
        await until_async(lambda: all(p.computed == 4 for p in team.peers[::2]))
        team.peers[1].gate.set()
        team.check(await one)
        team.check(await two)

    with_team(test)


def test_one_that_gives_nothing_is_named_when_patience_ends():
    async def test(team):
        team.peers[2].gate.clear()
        stopped = team.begin(2)
        waiting = [team.begin(slot, patience=0.1) for slot in (0, 1)]
        replies = await asyncio.gather(*waiting)
        # Of the second chain the first has what it needs, then none of the fifth.
        assert [reply.error for reply in replies] == [
            f"{WAITED}: tile 1",
            f"{WAITED}: tile 2",
        ]
        assert [reply.chains for reply in replies] == [5, 2]
        for reply in replies:
            assert reply.array is None
            assert reply.waited > 0.05
            assert reply.computed < reply.finished - reply.started
        team.peers[2].exchange.end("it")
        team.peers[2].gate.set()
        reply = await stopped
        assert (reply.error, reply.chains) == (f"{WAITED}: in vain", 1)
        await team.works("next")

    with_team(test)


def test_all_is_there_though_patience_is_over():
    async def test(team):
        team.peers[0].gate.clear()
        slow = team.begin(0, patience=0.01)
        others = [team.begin(slot) for slot in (1, 2)]
        coming, loop = team.peers[0].exchange._coming, asyncio.get_running_loop()
        await until_async(lambda: "it" in coming and coming["it"].nbytes)
        await until_async(lambda: loop.time() > coming["it"].until)
        # What it needs next has come; what it needs then cannot.
        team.peers[0].gate.set()
        reply = await slow
        assert (reply.error, reply.chains) == (f"{WAITED}: tile 1", 5)
        for slot in (1, 2):
            team.peers[slot].exchange.end("it")
        await asyncio.gather(*others)

    with_team(test)


def test_who_is_told_that_it_is_over_waits_no_longer():
    async def test(team):
        team.peers[2].gate.clear()
        began = [team.begin(slot) for slot in range(3)]
        await until_async(lambda: all(p.computed for p in team.peers[:2]))
        for peer in team.peers:
            peer.exchange.end("it")
        replies = await asyncio.gather(*began[:2])
        assert {reply.error for reply in replies} == {f"{WAITED}: in vain"}
        team.peers[2].gate.set()
        assert (await began[2]).chains == 1
        await team.works("next")

    with_team(test)


def test_what_is_over_before_it_begins_is_not_computed():
    async def test(team):
        team.peers[0].exchange.end("it")
        reply = await team.begin(0)
        assert (reply.error, reply.chains) == (f"{WAITED}: in vain", 0)
        assert reply.started == reply.finished
        assert not team.peers[0].computed

    with_team(test)


def test_nothing_is_kept_of_what_comes_too_late(monkeypatch):
    monkeypatch.setattr(module, "KEPT_FOR", 0.05)

    async def test(team):
        exchange = team.peers[0].exchange
        await team.begin(0, patience=0.0)
        assert exchange._coming["it"].over
        exchange.take("it", 0, 1, b"late")
        assert not exchange._coming["it"]._halos
        exchange.take("of others", 0, 1, b"never asked for")
        await until_async(lambda: not exchange._coming)

    with_team(test)


def test_what_waits_is_not_forgotten(monkeypatch):
    monkeypatch.setattr(module, "KEPT_FOR", 0.01)

    async def test(team):
        team.peers[2].gate.clear()
        began = [team.begin(slot) for slot in range(3)]
        forgotten = asyncio.get_running_loop().time() + 0.05
        loop = asyncio.get_running_loop()
        await until_async(lambda: loop.time() > forgotten)
        team.peers[2].gate.set()
        team.check(await asyncio.gather(*began))

    with_team(test)


@pytest.mark.parametrize("data", [b"", b"x" * 7, b"x" * 10_000])
def test_a_halo_of_another_size_is_named(data):
    async def test(team):
        team.peers[0].exchange.take("it", 1, 1, data)  # whoever gave it
        began = [team.begin(slot) for slot in range(3)]
        reply = await began[0]
        assert reply.error.startswith(
            f"{WAITED}: tile 1, whose worker gave {len(data)}"
        )
        assert reply.array is None
        for peer in team.peers:
            peer.exchange.end("it")
        await asyncio.gather(*began)
        await team.works("next")

    with_team(test)


def test_the_first_of_two_halos_counts():
    async def test(team):
        began = [team.begin(slot) for slot in range(3)]
        halos = []
        take = team.peers[0].exchange.take

        def twice(**halo):
            take(**halo)
            halos.append(halo)
            take(**{**halo, "data": b"again, and wrong"})

        team.peers[0].exchange.take = twice
        team.check(await asyncio.gather(*began))
        assert halos

    with_team(test)


def test_a_tile_that_raises():
    async def test(team):
        team.peers[1].error = MemoryError("too much")
        began = [team.begin(slot) for slot in range(3)]
        reply = await began[1]
        assert "too much" in reply.error
        assert reply.chains == 0
        assert reply.started
        for peer in team.peers:
            peer.exchange.end("it")
        await asyncio.gather(*began)
        team.peers[1].error = None
        await team.works("next")

    with_team(test)


def test_a_line_that_broke_is_opened_anew():
    async def test(team):
        await team.works("first")
        for peer in team.peers:
            for comm in list(peer._comms):
                comm.abort()
        lines = [c for p in team.peers for c in p.exchange._connections.values()]
        await until_async(lambda: not any(line.is_open for line in lines))
        await team.works("second")
        assert all(line.is_open for line in lines)

    with_team(test)


def test_another_process_at_the_same_address():
    async def test(team):
        await team.works("first")
        old, address = team.peers[1], team.peers[1].address
        await old.exchange.close()
        await old.close()
        lines = [p.exchange._connections[address] for p in team.peers[::2]]
        await until_async(lambda: not any(line.is_open for line in lines))
        team.peers[1] = Peer()
        await team.peers[1].listen(address)
        try:
            await team.works("second")
        finally:
            await team.peers[1].exchange.close()
            await team.peers[1].close()

    with_team(test)


@pytest.mark.parametrize("how", ["nobody", "silent"])
def test_one_that_cannot_be_reached(monkeypatch, how):
    """Where a firewall lies between two workers: waited for once."""
    monkeypatch.setattr(module, "REACHED_WITHIN", 0.2)

    async def test(team):
        writers = []
        silent = await asyncio.start_server(
            lambda reader, writer: writers.append(writer), "127.0.0.1", 0
        )
        port = silent.sockets[0].getsockname()[1]
        if how == "nobody":
            silent.close()
        cut_off = f"tcp://127.0.0.1:{port}"
        one, _, three = team.addresses
        team = Team(team.peers, team.network, (one, cut_off, three))
        said = f"{UNREACHED}: {cut_off}"
        reply = await team.begin(0, "first")
        assert (reply.error, reply.chains) == (said, 2)
        # Next time it is said at once: what is tried meanwhile is not waited for.
        monkeypatch.setattr(module, "REACHED_WITHIN", LONG)
        reply = await team.begin(0, "second")
        assert reply.error == said
        # What is tried goes out as soon as it can.
        silent.close()
        for writer in writers:
            writer.close()
        there, exchange = Peer(), team.peers[0].exchange
        await there.listen(cut_off)
        await until_async(lambda: not exchange._unreached)
        coming = there.exchange._coming
        await until_async(lambda: "second" in coming and coming["second"].nbytes)
        await exchange.close()
        await there.close()

    with_team(test)


def test_who_reads_nothing_any_more_keeps_no_memory_here():
    async def test(team):
        await team.works("first")
        exchange = team.peers[0].exchange
        (line,) = exchange._connections.values()
        stopped = team.peers[1]
        stopped.gate.clear()
        began = [team.begin(0, "stopped", patience=0.05), team.begin(1, "stopped")]
        assert (await began[0]).error == f"{WAITED}: tile 1"
        assert not line.is_open
        assert not exchange._connections
        stopped.gate.set()
        stopped.exchange.end("stopped")
        await began[1]
        await team.works("next")

    with_team(test)


def test_connections_that_nobody_uses_are_closed(monkeypatch):
    async def test(team):
        await team.works("first")
        exchange = team.peers[1].exchange
        exchange._timer.cancel()
        with monkeypatch.context() as patch:
            patch.setattr(module, "UNUSED_FOR", 0.05)
            await closed(exchange)
        await team.works("next")

    async def closed(exchange):
        exchange._close_later()
        exchange._unreached.add("tcp://127.0.0.1:9")
        exchange._used["tcp://127.0.0.1:9"] = time.monotonic()
        await until_async(lambda: not exchange._connections)
        await until_async(lambda: exchange._timer is None)
        assert not exchange._used
        assert not exchange._unreached

    with_team(test)


def test_a_worker_that_closes_waits_for_nobody():
    async def test(team):
        team.peers[2].gate.clear()
        began = [team.begin(slot) for slot in range(3)]
        await until_async(lambda: all(p.computed for p in team.peers[:2]))
        for peer in team.peers[:2]:
            await peer.exchange.close()
        replies = await asyncio.gather(*began[:2])
        assert {reply.error for reply in replies} == {"the worker closes"}
        await team.peers[2].exchange.close()
        team.peers[2].gate.set()
        assert (await began[2]).error == "the worker closes"

    with_team(test)

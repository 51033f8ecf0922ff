"""Who is there, by what the scheduler and the workers say: no cluster is needed."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from fcdcc_keras.dispatch import crew as rules
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.execution.cluster import members as module
from fcdcc_keras.execution.cluster.members import Members
from fcdcc_keras.execution.cluster.probe import Readiness

A, B, C = (f"tcp://{name}:1" for name in "abc")


class Cluster:
    """Workers' processes by address, as scheduler, transport and checks see them."""

    status = "running"

    def __init__(self, monkeypatch, **options):
        self.processes = {A: "a-1", B: "b-1"}
        self.prepared, self.forgotten, self.moved = [], [], []
        self.scheduler = SimpleNamespace()
        self.refused = set()
        monkeypatch.setattr(module, "prepare", self._prepare)
        monkeypatch.setattr(rules, "_DOUBTED_AFTER", 0.0)
        self.crew = Crew([A, B], time.monotonic(), self.processes)
        self.members = Members(self, self.crew, self, self.moved.append)

    async def nthreads(self):
        return dict.fromkeys(self.processes, 1)

    async def _prepare(self, client, addresses):
        (address,) = addresses
        if address in self.refused:
            raise OSError("it has another version")
        self.prepared.append(self.processes[address])
        return Readiness({address: self.processes[address]}, {})

    async def ping(self, address):
        return self.processes[address]

    def forget(self, address):
        self.forgotten.append(address)

    def state(self, address):
        return self.crew.health[address].state(time.monotonic())

    def doubt(self, address):
        if self.crew.doubt(address, time.monotonic()):
            self.members.start(self.members.look())

    async def settled(self):
        while self.members._background:
            await asyncio.gather(*self.members._background)


@pytest.fixture
def cluster(monkeypatch):
    return Cluster(monkeypatch)


def test_another_process_at_an_address_is_made_ready_and_given_the_slots(cluster):
    """It came before anybody looked: the scheduler always had somebody there."""

    async def run():
        cluster.processes = {A: "a-2", B: "b-1"}
        before = cluster.crew.health[A]
        before.begin("request", time.monotonic(), None)
        cluster.doubt(A)  # the connection broke
        await cluster.settled()
        return before

    before = asyncio.run(run())
    assert before.lost
    assert cluster.prepared == ["a-2"]
    assert cluster.forgotten == [A]
    assert cluster.moved == [0]
    assert cluster.crew.health[A].process == "a-2"
    assert cluster.state(A) == "idle"  # and owes nothing of what the other did
    assert cluster.crew.roster.addresses == (A, B)


def test_a_worker_that_is_late_may_be_another_process(cluster):
    """One without our handlers does not even say that it has none."""

    async def run():
        cluster.processes = {A: "a-1", B: "b-2"}
        for address in (A, B):
            cluster.crew.health[address].begin("request", 0.0, None)
            cluster.crew.health[address].overtake("request")
        await cluster.members.look()
        await cluster.settled()

    asyncio.run(run())
    assert cluster.prepared == ["b-2"]
    assert (cluster.state(A), cluster.state(B)) == ("late", "idle")


def test_a_worker_that_left_and_came_back_is_made_ready_first(cluster):
    async def run():
        cluster.processes = {B: "b-1"}
        await cluster.members.look()
        await cluster.settled()
        lost = cluster.state(A)
        cluster.processes = {A: "a-2", B: "b-1"}
        cluster.refused = {A}
        await cluster.members.look()
        await cluster.settled()
        refused = cluster.state(A)
        cluster.refused = set()
        cluster.crew._refused.clear()  # time passes
        await cluster.members.look()
        await cluster.settled()
        return lost, refused

    assert asyncio.run(run()) == ("lost", "lost")
    assert cluster.prepared == ["a-2"]
    assert cluster.state(A) == "idle"
    assert cluster.moved == [0]


def test_the_same_process_is_not_made_ready_again(cluster):
    async def run():
        for address in (A, B):
            cluster.doubt(address)
        await cluster.settled()

    asyncio.run(run())
    assert cluster.prepared == []
    assert cluster.state(A) == cluster.state(B) == "idle"


def test_a_process_whose_name_nobody_told_is_known_by_its_first_answer(cluster):
    async def run():
        cluster.crew.health[A].process = ""
        await cluster.members.ping(A)
        assert cluster.crew.health[A].process == "a-1"
        cluster.processes = {A: "a-2", B: "b-1"}
        await cluster.members.ping(A)
        await cluster.settled()

    asyncio.run(run())
    assert cluster.prepared == ["a-2"]


def test_whoever_lied_is_not_trusted_as_another_process(cluster):
    """It is the machine that may be at fault."""

    async def run():
        cluster.crew.distrust(A, time.monotonic())
        cluster.processes = {A: "a-2", B: "b-1"}
        await cluster.members.ping(A)
        await cluster.members.look()
        await cluster.settled()

    asyncio.run(run())
    assert cluster.prepared == []
    assert cluster.state(A) == "distrusted"


def test_a_slot_moves_while_another_thread_asks_who_has_it(cluster):
    roster, before = cluster.crew.roster, iter(["tcp://gone:1"])
    address = roster.address
    roster.address = lambda slot: next(before, None) or address(slot)
    assert cluster.crew.of(0) is cluster.crew.health[A]


def test_nothing_is_remembered_of_addresses_that_are_gone(cluster, caplog):
    async def run():
        for number in range(5):
            address = f"tcp://c:{number}"
            cluster.processes = {B: "b-1", address: "c"}
            cluster.refused = {address} if number % 2 else set()
            await cluster.members.look()
            await cluster.settled()
        cluster.processes = {B: "b-1"}
        await cluster.members.look()
        await cluster.settled()

    asyncio.run(run())
    assert cluster.crew._refused == {}
    # One of them has the slot of the first, which is gone, and may come back.
    assert len(cluster.crew.health) == 2
    assert {A, "tcp://c:0", "tcp://c:2"} <= set(cluster.forgotten)

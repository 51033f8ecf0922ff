"""When a scheduler is told of what, and how much at once: no cluster, no waiting."""

import asyncio
from types import SimpleNamespace

import pytest

from fcdcc_keras.execution.executors.dask import DaskExecutor
from fcdcc_keras.monitoring import reporter as module
from fcdcc_keras.monitoring.figures import Figures
from fcdcc_keras.monitoring.messages import Told
from fcdcc_keras.monitoring.reporter import Reporter
from tests.monitoring.records import going, layer, owing, records, share


class Cluster(DaskExecutor):
    """Has what a reporter uses; each message waits for the test's answer."""

    def __init__(self) -> None:
        self.going = []
        self.told, self.answers = asyncio.Queue(), asyncio.Queue()
        self.figures = Figures()
        loop = SimpleNamespace(add_callback=lambda what: what())
        self.client = SimpleNamespace(id="me", status="running", loop=loop)
        self.client.sync = lambda *args: None
        self.client.register_plugin = None
        self.transport = SimpleNamespace(requests=self)
        self._closed = False

    def under_way(self):
        return list(self.going)

    async def ask_scheduler(self, handler, text):
        await self.told.put(Told.from_text(text))
        await self.answers.get()
        return self.figures.take(text)

    async def next(self) -> Told:
        """Returns the next message, which is not answered yet."""
        return await asyncio.wait_for(self.told.get(), 60)

    async def quiet(self) -> bool:
        """Returns whether nothing is told in many turns of the loop."""
        for _ in range(100):
            await asyncio.sleep(0)
        return self.told.empty()


@pytest.fixture
def told(monkeypatch):
    """Runs a test with a reporter, its cluster, and what answers the last message."""
    monkeypatch.setattr(module, "EVERY", 0.0)

    def run(test):
        async def running():
            cluster = Cluster()
            reporter = Reporter(cluster)
            reporter.begin()
            await test(reporter, cluster, lambda: cluster.answers.put_nowait(None))
            reporter._executor = None

        asyncio.run(running())

    return run


def numbers(message: Told) -> list[int]:
    return [number for number, _ in message.records]


def test_sums_alone_are_told_while_something_happens_and_nobody_looks(told) -> None:
    async def test(reporter, cluster, answer):
        for number in range(3):
            reporter(records()[0])
            message = await cluster.next()
            assert message.totals.workers["tcp://w0:1"].used == number + 1
            assert (numbers(message), message.under_way) == ([], [])
            if number < 2:
                reporter(records()[1])
            answer()
            if number < 2:
                assert numbers(await cluster.next()) == []
                answer()
        # Then nothing happens, and it costs nobody anything.
        assert numbers(await cluster.next()) == [0, 1, 2, 3, 4]
        answer()
        assert await cluster.quiet()

    told(test)


def test_who_looks_sees_what_is_under_way(told) -> None:
    async def test(reporter, cluster, answer):
        cluster.going = [going()]
        cluster.on_begin()
        message = await cluster.next()
        assert message.under_way == []  # nobody has looked
        cluster.figures.ledger.look()
        answer()
        message = await cluster.next()
        assert message.under_way == [going()]
        cluster.going = []  # it was given up: there is no record of it
        answer()
        message = await cluster.next()
        assert message.under_way == []
        answer()
        assert await cluster.quiet()
        assert cluster.figures.ledger.under_way == []
        for number in range(2):  # at once, though more may follow
            reporter(records()[0])
            assert numbers(await cluster.next()) == [number]
            answer()

    told(test)


def test_a_message_is_no_longer_than_it_may_be(told) -> None:
    async def test(reporter, cluster, answer):
        for _ in range(5):
            reporter(layer("conv", 1, *(share(n, "used") for n in range(400))))
        assert numbers(await cluster.next()) == []
        answer()
        assert numbers(await cluster.next()) == [3, 4]
        answer()

    told(test)


def test_late_answers_are_told_of_when_they_come(told) -> None:
    async def test(reporter, cluster, answer):
        late = owing()
        cluster.figures.ledger.look()
        reporter(layer("conv", 1, late))
        for _ in range(2):  # the first says that somebody looks
            message = await cluster.next()
            answer()
        assert numbers(message) == [0]
        late.received, late.bytes_received = 1007.0, 10
        message = await cluster.next()
        assert numbers(message) == [0]
        assert message.records[0][1].subtasks[0].received == 1007.0
        assert message.totals.workers[late.address].bytes_received == 10
        answer()
        assert await cluster.quiet()

    told(test)


def test_news_while_a_message_is_on_its_way_are_one_more(told) -> None:
    async def test(reporter, cluster, answer):
        cluster.figures.ledger.look()
        reporter(records()[0])
        await cluster.next()
        for _ in range(3):
            reporter(records()[0])
        answer()
        assert numbers(await cluster.next()) == [0, 1, 2, 3]
        reporter(records()[0])
        answer()
        assert numbers(await cluster.next()) == [4]
        answer()
        assert await cluster.quiet()

    told(test)


def test_a_scheduler_that_shows_nothing_is_told_nothing(told, monkeypatch) -> None:
    from fcdcc_keras.monitoring import figures

    monkeypatch.setattr(figures, "find_spec", lambda name: None)

    async def test(reporter, cluster, answer):
        reporter(records()[0])
        await cluster.next()
        answer()
        assert await cluster.quiet()
        reporter(records()[0])
        cluster.on_begin()
        assert await cluster.quiet()

    told(test)

"""Finding out what there is of a cluster; what it means is said elsewhere.

Every question has a deadline of its own, all that can be asked at once is, and whatever
does not answer keeps nothing else from being found out.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeVar

from fcdcc_keras.dask_internals import ENDED_FOR_MEMORY, versions_in
from fcdcc_keras.doctor import carried, on_worker, reading
from fcdcc_keras.doctor.asking import Asking, all_at_once, within
from fcdcc_keras.doctor.carried import introduce, introducing, touching
from fcdcc_keras.doctor.entrance import knock_at, touch
from fcdcc_keras.doctor.exchanging import have_exchanged
from fcdcc_keras.doctor.findings import (
    Expected,
    Findings,
    MeasuredWay,
    SchedulerFound,
    Software,
    Touch,
    WorkerFound,
    host_of,
    port_of,
)
from fcdcc_keras.planning.chains.exchange import MOST_EXCHANGING
from fcdcc_keras.text import said_by
from fcdcc_keras.version import VERSION
from fcdcc_keras.worker.installed import MEMORY

if TYPE_CHECKING:
    from distributed import Security

T = TypeVar("T")

_TURNS = 4
_ALIVE = 22
"""A port of a machine that answers if the machine is up, if only by refusing."""


@dataclass(frozen=True)
class Patience:
    """How long is waited, in seconds."""

    connect: float = 3.0
    """For a port to answer."""
    answer: float = 6.0
    """For a process to answer a question."""
    compute: float = 8.0
    """For a worker to load its engine and to convolve."""
    transfer: float = 1.0
    """For the throughput of one way."""
    total: float = 15.0
    """For all together."""

    @classmethod
    def within(cls, total: float) -> Patience:
        """Returns how long is waited for each where all may take some time."""
        share = total / cls.total
        return cls(**{f.name: share * getattr(cls, f.name) for f in fields(cls)})


def examine(
    address: str,
    security: Security,
    expected: Sequence[str] = (),
    patience: Patience | None = None,
    tell: Callable[[str], object] = lambda text: None,
) -> Findings:
    """Returns what is found of a cluster. Never raises for what is amiss with it.

    Args:
        address: Of its scheduler, as ``tcp://host:8786``.
        security: Certificates, for ``tls://``.
        expected: Names of workers, or of machines that are to have one.
        patience: How long is waited.
        tell: Is told what is being done.
    """
    patience = patience or Patience()
    examining = _Examining(address, security, patience, tell)

    async def run() -> Findings:
        try:
            found = await examining.all(expected)
        except asyncio.CancelledError:  # Ctrl-C; a second one may leave it unfinished
            await _closed()
            raise
        await _closed()
        return found

    return asyncio.run(run())


async def _closed() -> None:
    """Lets connections be closed that were broken, in the loop's next turns."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class _Examining:
    """An examination under way."""

    def __init__(
        self,
        address: str,
        security: Security,
        patience: Patience,
        tell: Callable[[str], object],
    ) -> None:
        self._address = address
        self._security = security
        self._patience = patience
        self._tell = tell
        self._until = time.monotonic() + patience.total
        self._own = reading.software(json.loads(introduce()))

    async def all(self, expected: Sequence[str]) -> Findings:
        """Returns what is found."""
        self._tell(f"asking {self._address}")
        waits = self._patience
        (door, said), awaited = await asyncio.gather(
            knock_at(self._address, self._security, waits.connect, waits.answer),
            asyncio.gather(*map(self._expected, expected)),
        )
        found = Findings(
            self._address,
            self._own,
            SchedulerFound(door, said),
            least=reading.least(),
            expected=tuple(awaited),
        )
        if door != "scheduler":
            return found
        arguments = self._security.get_connection_args("client")
        self._scheduler = Asking(self._address, arguments)
        known = await self._in_time(self._scheduler.ask("identity"))
        if known is None:
            return replace(found, scheduler=SchedulerFound("silent"))
        there: dict[str, dict[str, Any]] = known["workers"]
        self._tell(f"asking {len(there)} workers")
        self._asking = {address: Asking(address, arguments) for address in there}
        scheduler = await self._of_scheduler()
        asked = [
            self._of_worker(address, told, scheduler.software)
            for address, told in there.items()
        ]
        seen = await asyncio.gather(*asked)
        self._tell("trying the ways between workers")
        seen = await asyncio.gather(*(self._between(each, seen) for each in seen))
        self._tell("measuring links")
        link = await self._link(self._scheduler)
        linked, together, trips = await self._links(seen)
        self._tell("measuring workers")
        workers = await asyncio.gather(*map(self._measured, linked))
        self._tell("having workers exchange halos")
        left, patience = max(self._until - time.monotonic(), 0.0), waits.answer
        workers = await have_exchanged(workers, self._asking, patience, left)
        return replace(
            found,
            scheduler=replace(scheduler, link=link),
            workers=tuple(sorted(workers, key=lambda worker: worker.name)),
            together=together,
            round_trips=trips,
        )

    async def _in_time(
        self, asking: Awaitable[T], seconds: float | None = None
    ) -> T | None:
        """Returns an answer, or None without one in its time, and that of all."""
        left = max(self._until - time.monotonic(), 0.0)
        patience = self._patience.answer if seconds is None else seconds
        return await within(min(patience, left), asking)

    async def _expected(self, name: str) -> Expected:
        """Looks whether there is a machine of this name, and it is up."""
        patience = self._patience.connect
        outcome, places = await touch(host_of(name) or name, _ALIVE, patience)
        return Expected(name, tuple(places), outcome if places else None)

    async def _of_scheduler(self) -> SchedulerFound:
        ask = self._scheduler.ask
        events, (software, clock, doubt) = await asyncio.gather(
            self._in_time(ask("events", topic=ENDED_FOR_MEMORY)),
            self._introduced(ask, self._run_on_scheduler),
        )
        return SchedulerFound(
            "scheduler",
            software=software,
            clock=clock,
            doubt=doubt,
            ended_for_memory={
                reading.printable(event["worker"]): float(event["rss"])
                for _, event in events or ()
            },
        )

    def _run_on_scheduler(self, function: Callable[..., Any]) -> Awaitable[str]:
        return self._scheduler.run(function, "run_function")

    async def _touched(
        self, run: _Run, software: Software | None, addresses: Sequence[str]
    ) -> dict[str, Touch]:
        """Has one of them connect to others; {} where it does not say what came."""
        patience = self._patience.connect
        if software is None or not addresses:
            return {}
        targets = [(host_of(address), port_of(address)) for address in addresses]
        function = touching(targets, patience)
        if software.minor != self._own.minor:
            if not self._has_ours(software):
                return {}
            function = partial(carried.touch, targets, patience)
        outcomes = reading.touches(await self._in_time(run(function), 2 * patience))
        return dict(zip(addresses, outcomes, strict=False))

    def _has_ours(self, software: Software) -> bool:
        """Returns whether one of them has our version of the package."""
        ours = self._own.packages["fcdcc_keras"]
        return software.packages["fcdcc_keras"] == ours

    async def _of_worker(
        self, address: str, told: dict[str, Any], scheduler: Software | None
    ) -> WorkerFound:
        (outcome, answers), (relayed, answers_relayed) = await asyncio.gather(
            self._reached(address), self._reached_by_scheduler(address, scheduler)
        )
        found = replace(
            reading.worker(address, told),
            by_client=outcome,
            answers_client=answers,
            by_scheduler=relayed,
            answers_scheduler=answers_relayed,
        )
        if not found.answers:
            return found
        ask, run = self._way(found)
        software, clock, doubt = await self._introduced(ask, run)
        found = replace(found, software=software, clock=clock, doubt=doubt)
        back = await self._touched(run, software, [self._address])
        return replace(found, to_scheduler=back.get(self._address))

    async def _reached(self, address: str) -> tuple[Touch, bool]:
        """Returns what came of connecting to a worker, and whether it answers."""
        host, port = host_of(address), port_of(address)
        outcome, _ = await touch(host, port, self._patience.connect)
        if outcome.how != "open":
            return outcome, False
        answer = await self._in_time(self._asking[address].ask("identity"))
        return outcome, answer is not None

    async def _reached_by_scheduler(
        self, address: str, scheduler: Software | None
    ) -> tuple[Touch | None, bool]:
        """The same, of the scheduler; its own connecting waits for half a minute."""
        touched = await self._touched(self._run_on_scheduler, scheduler, [address])
        outcome = touched.get(address)
        if outcome is not None and outcome.how != "open":
            return outcome, False
        answer = await self._in_time(self._scheduler.relay(address, "identity"))
        return outcome, answer is not None

    def _way(self, worker: WorkerFound) -> tuple[_Ask, _Run]:
        """Returns how a worker is asked, and how it runs something."""
        asking = self._asking[worker.address]
        if worker.answers_client:
            return asking.ask, asking.run

        def ask(op: str, **message: Any) -> Awaitable[Any]:
            return self._scheduler.relay(worker.address, op, **message)

        def run(function: Callable[..., Any]) -> Awaitable[str]:
            return self._scheduler.relay_run(function, worker.address)

        return ask, run

    async def _introduced(self, ask: _Ask, run: _Run) -> _Introduction:
        """Returns what one of them runs, how far its clock is ahead, and the doubt."""
        patience = 2 * self._patience.answer
        found = await self._in_time(self._introduction(ask, run), patience)
        return found or (None, None, 0.0)

    async def _introduction(self, ask: _Ask, run: _Run) -> _Introduction:
        versions = await self._in_time(ask("versions", packages=list(reading.PACKAGES)))
        if versions is None:
            return None, None, 0.0
        told = versions_in(versions)
        python = reading.printable(told["python"])
        packages = {name: reading.version(told.get(name)) for name in reading.PACKAGES}
        software, introduction = Software(python, packages), introducing()
        if software.minor != self._own.minor:
            there = await self._in_time(run(partial(resolve_name, VERSION)))
            packages["fcdcc_keras"] = reading.version(there)
            if not self._has_ours(software):
                return software, None, 0.0
            introduction = introduce
        began, at = time.monotonic(), time.time()
        text = await self._in_time(run(introduction))
        took = time.monotonic() - began
        if text is None:
            return software, None, 0.0
        said = json.loads(text)
        own = reading.software(said)
        # Which Dask it is, that Dask knows best.
        packages["fcdcc_keras"] = own.packages["fcdcc_keras"]
        software = replace(own, python=python, packages=packages)
        return software, float(said["time"]) - (at + took / 2), took / 2

    async def _between(
        self, worker: WorkerFound, workers: Sequence[WorkerFound]
    ) -> WorkerFound:
        """Has a worker connect to the others, as it does to give them halos."""
        those = [one for one in workers if one.answers][:MOST_EXCHANGING]
        if worker not in those:
            return worker
        _, run = self._way(worker)
        others = [one.address for one in those if one is not worker]
        ways = await self._touched(run, worker.software, others)
        return replace(worker, to_workers=ways)

    async def _link(self, asking: Asking) -> MeasuredWay | None:
        return await self._in_time(asking.measure(self._patience.transfer))

    async def _links(
        self, workers: Sequence[WorkerFound]
    ) -> tuple[list[WorkerFound], float | None, float | None]:
        """Measures each way alone, and all at once."""
        found = []
        for worker in workers:
            if worker.answers_client:
                link = await self._link(self._asking[worker.address])
                worker = replace(worker, link=link)
            found.append(worker)
        measured = [w for w in found if w.link is not None and w.link.bandwidth]
        if not measured:
            return found, None, None
        # As much as takes a tenth of a second on the slowest, alone.
        least = min(w.link.bandwidth or 0.0 for w in measured if w.link is not None)
        nbytes = min(max(int(least / 20), 1 << 12), 1 << 22)
        ways = [self._asking[worker.address] for worker in measured]
        together = await self._in_time(all_at_once(ways, nbytes))
        trips = await self._in_time(all_at_once(ways, 0))
        n = len(measured)
        # The last comes back when all others have; on the way they overlap.
        rate = None if together is None else (n + 1) * nbytes / together
        return found, rate, trips

    async def _measured(self, worker: WorkerFound) -> WorkerFound:
        """Has a worker convolve, if it has our version of the package."""
        software = worker.software
        if software is None or not any(map(software.engines.get, MEMORY)):
            return worker
        if not self._has_ours(software):
            return worker
        _, run = self._way(worker)
        try:
            left = max(self._until - time.monotonic(), 0.0)
            patience = min(self._patience.compute, left)
            text = await asyncio.wait_for(run(on_worker.measure), patience)
            return replace(worker, speed=reading.speed(json.loads(text)))
        except asyncio.TimeoutError:
            return replace(worker, late=patience)
        except Exception as error:  # whatever it is, it did not convolve
            return replace(worker, ailing=reading.printable(said_by(error)))


_Ask = Callable[..., Awaitable[Any]]
_Run = Callable[[Callable[..., Any]], Awaitable[str]]
_Introduction = tuple[Software | None, float | None, float]

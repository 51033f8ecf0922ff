"""What findings mean: what is amiss, with whom, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from fcdcc_keras.doctor.expectation import Expectation
from fcdcc_keras.doctor.findings import Findings, Software, WorkerFound
from fcdcc_keras.doctor.needs import is_older, room_of
from fcdcc_keras.doctor.programs import rate_of
from fcdcc_keras.doctor.trouble import Trouble, joined, name_of
from fcdcc_keras.doctor.ways import apart, at_the_door, unreached
from fcdcc_keras.text import bytes_text
from fcdcc_keras.worker.installed import MEMORY

_CLOCK = 1.0
"""Seconds that a clock may be off: more and a trace's times cannot be compared."""
_SLOWER = 0.5
"""Of the usual worker's speed, from which on one is told to be slow."""
_LIGHTEN = "look what else runs there, and whether heat or power throttle it"
_INSTALL = "pip install 'fcdcc-keras[worker]=={}'"
_OF_DASK = ("distributed", "dask")


def diagnose(
    found: Findings,
    stragglers: int = 1,
    expectations: Sequence[Expectation] = (),
) -> list[Trouble]:
    """Returns what is amiss; what makes ``fk.distribute`` fail comes first.

    Args:
        found: What was found.
        stragglers: γ, the workers that may be missing.
        expectations: What models are to need.
    """
    troubles = [*_of_client(found), *at_the_door(found)]
    if found.scheduler.door == "scheduler":
        troubles += _of_software("scheduler", found.scheduler.software, found)
        troubles += _of_clock(
            "scheduler", found.scheduler.clock, found.scheduler.doubt, found
        )
        troubles += _of_the_ended(found)
        for worker in found.workers:
            troubles += _of_worker(worker, found)
        troubles += [*_of_speeds(found.workers), *apart(found)]
        for expectation in expectations:
            troubles += _of_needs(expectation, found.workers)
        troubles += _of_the_missing(found)
        ill = {name for one in troubles if one.fatal for name in one.where}
        troubles += _of_number(found, stragglers, ill)
    return joined(troubles)


def _of_client(found: Findings) -> Iterator[Trouble]:
    own = found.client
    lacking = [p for p in ("keras", "tensorflow") if not own.engines.get(p)]
    if lacking:
        yield Trouble(
            "client software",
            ("client",),
            f"{' and '.join(lacking)} is not installed here, which a client needs",
            "pip install 'fcdcc-keras[cpu]', or [gpu]",
        )


def _of_worker(worker: WorkerFound, found: Findings) -> Iterator[Trouble]:
    name = name_of(worker)
    yield from unreached(worker, name, found)
    yield from _of_memory(worker, name)
    if worker.status not in ("running", "paused"):
        yield Trouble(
            "leaving",
            (name,),
            f"is {worker.status.replace('_', ' ')}",
            "ask again when it has gone; start it anew if it should be there",
        )
    if not worker.answers:
        return
    yield from _of_software(name, worker.software, found)
    yield from _of_engine(worker, name, found)
    yield from _of_clock(name, worker.clock, worker.doubt, found)


def _of_software(
    name: str, software: Software | None, found: Findings
) -> Iterator[Trouble]:
    own = found.client
    if software is None:
        yield Trouble(
            "silent",
            (name,),
            "is there, but does not say what it runs",
            "look whether its machine is overloaded, and into its log; restart it",
        )
        return
    ours, theirs = own.packages["fcdcc_keras"], software.packages.get("fcdcc_keras")
    if software.minor != own.minor:
        yield Trouble(
            "python",
            (name,),
            f"runs Python {software.python}, this client {own.python}: models are "
            "distributed as well, but Dask tasks of your own may end it",
            f"use Python {own.minor} everywhere",
            fatal=False,
        )
    if theirs != ours:
        has = (
            "fcdcc_keras is not installed"
            if theirs is None
            else (f"has fcdcc_keras {theirs}, this client {ours}")
        )
        yield Trouble(
            "version",
            (name,),
            has,
            f"there: {_INSTALL.format(ours)}, and start it again",
        )
    elif not software.engines:
        yield Trouble(
            "silent",
            (name,),
            "answers, but has not run what it was sent",
            "look into its log, and whether its machine is overloaded; restart it",
        )
    packages = [(p, software.packages.get(p), own.packages[p]) for p in _OF_DASK]
    other = [
        f"{package} {theirs}, this client {ours}"
        for package, theirs, ours in packages
        if theirs != ours
    ]
    if other:
        wanted = " ".join(f"'{p}=={own.packages[p]}'" for p in _OF_DASK)
        yield Trouble(
            "dask version",
            (name,),
            f"has {'; '.join(other)}: it may work, and fail in strange ways",
            f"there: pip install {wanted}, and start it again",
            fatal=False,
        )


def _of_engine(worker: WorkerFound, name: str, found: Findings) -> Iterator[Trouble]:
    software = worker.software
    if software is None or not software.engines:
        return
    there = {
        e: software.engines.get(e) or "" for e in MEMORY if software.engines.get(e)
    }
    if not there:
        yield Trouble(
            "no engine",
            (name,),
            "has nothing to compute with: neither LiteRT nor TensorFlow is installed",
            "there: pip install 'fcdcc-keras[worker]' for the light engine, and start "
            "it again",
        )
        return
    for engine, version in there.items():
        least = found.least.get(engine, "0")
        if is_older(version, least) and engine == _engine_of(worker):
            yield Trouble(
                "old engine",
                (name,),
                f"has {engine} {version}, of which {least} is needed",
                "there: pip install --upgrade 'fcdcc-keras"
                f"[{'worker' if engine == 'light' else 'cpu'}]', and start it again",
                fatal=False,
            )
    if worker.ailing:
        yield Trouble(
            "engine",
            (name,),
            f"does not convolve: {worker.ailing}",
            "look into its log; install its engine anew, or leave the worker out",
        )
    if worker.late:
        yield Trouble(
            "slow",
            (name,),
            f"had not convolved after {worker.late:.0f} s, which takes one",
            _LIGHTEN + "; ask again with a longer --timeout",
            fatal=False,
        )


def _of_clock(
    name: str, clock: float | None, doubt: float, found: Findings
) -> Iterator[Trouble]:
    if clock is None or abs(clock) <= _CLOCK + doubt:
        return
    secure = found.address.startswith(("tls://", "wss://"))
    yield Trouble(
        "clock",
        (name,),
        f"has a clock that is {_span(abs(clock))} "
        f"{'ahead of' if clock > 0 else 'behind'} this client's: traces show its times "
        f"wrongly{', and certificates may not be valid there' if secure else ''}",
        "set it there: timedatectl set-ntp true",
        fatal=False,
    )


def _of_memory(worker: WorkerFound, name: str) -> Iterator[Trouble]:
    used, limit = worker.memory.used, worker.memory.limit
    engine = _engine_of(worker)
    if worker.status == "paused":
        yield Trouble(
            "memory",
            (name,),
            f"is out of memory: it has {bytes_text(used)} in use of "
            f"{bytes_text(limit)}, and takes no more work",
            "start it with a higher --memory-limit, or on a machine with more memory; "
            "close models that hold kernels there",
        )
    elif limit and limit < MEMORY[engine]:
        yield Trouble(
            "memory",
            (name,),
            f"may use {bytes_text(limit)}, while its engine ({engine}) takes "
            f"{bytes_text(MEMORY[engine])} before any kernel: its nanny would end it",
            f"start it with --memory-limit {bytes_text(2 * MEMORY[engine])} or more"
            + (", or with --engine light" if engine == "tensorflow" else ""),
        )


def _of_the_ended(found: Findings) -> Iterator[Trouble]:
    ended = found.scheduler.ended_for_memory
    if ended:
        most = bytes_text(max(ended.values()))
        yield Trouble(
            "ended for memory",
            tuple(sorted(ended)),
            f"a nanny ended a worker there for its memory, of which it had {most}",
            "if it comes again: start it with a higher --memory-limit",
            fatal=False,
        )


def _of_needs(
    expectation: Expectation, workers: Sequence[WorkerFound]
) -> Iterator[Trouble]:
    if expectation.trouble:
        yield Trouble(
            "model",
            ("client",),
            f"{expectation.model} cannot be planned: {expectation.trouble}",
            "see `fcdcc-keras plan`, which needs no cluster",
        )
        return
    for worker in workers:
        if worker.status == "paused":
            continue  # that is said
        engine = _engine_of(worker)
        needed, room = expectation.needed(engine), room_of(worker, engine, workers)
        if room is not None and needed > room:
            yield Trouble(
                "memory for model",
                (name_of(worker),),
                f"has room for {bytes_text(room)}, while {expectation.model} needs "
                f"{bytes_text(needed)} on each of {expectation.workers} workers",
                "give it more by --memory-limit or a larger machine, use more workers, "
                "or distribute with memory_limit=",
            )


def _of_speeds(workers: Sequence[WorkerFound]) -> Iterator[Trouble]:
    rates = {name_of(w): rate_of(w.speed) for w in workers if w.speed is not None}
    if len(rates) < 3:
        return  # of two, which is the usual one?
    usual = median(rates.values())
    for name, rate in rates.items():
        if rate < _SLOWER * usual:
            yield Trouble(
                "slow",
                (name,),
                f"convolves at {rate / usual:.0%} of the usual worker's speed",
                f"{_LIGHTEN}; plans by time give it less to do",
                fatal=False,
            )


def _of_the_missing(found: Findings) -> Iterator[Trouble]:
    for one in found.expected:
        if any(one.is_met_by(worker) for worker in found.workers):
            continue
        if one.machine is None:
            why = "no worker of this name is there, and no machine is known by it"
            mend = "check the name"
        elif one.machine.how in ("open", "refused"):
            why = "no worker is there, though its machine is up"
            mend = "look into the worker's log there"
        else:
            why = "no worker is there, and its machine does not answer"
            mend = "see whether it is on and in the network"
        yield Trouble(
            "missing",
            (one.name,),
            why,
            f"{mend}; start one there: fcdcc-keras worker {found.address}",
        )


def _of_number(found: Findings, stragglers: int, ill: Iterable[str]) -> list[Trouble]:
    well = [w for w in found.workers if name_of(w) not in set(ill)]
    if len(well) > stragglers:
        return []
    return [
        Trouble(
            "too few",
            ("scheduler",),
            f"too few workers are well: {len(well)} of {len(found.workers)}; at least "
            f"{stragglers + 1} must be, for {stragglers} may be missing (--stragglers)",
            f"mend or start more: fcdcc-keras worker {found.address}",
        )
    ]


def _engine_of(worker: WorkerFound) -> str:
    """Returns what a worker computes by, "light" or "tensorflow", as far as known."""
    if worker.speed is not None:
        return "tensorflow" if worker.speed.engine == "tensorflow" else "light"
    engines = {} if worker.software is None else worker.software.engines
    return "tensorflow" if engines and not engines.get("light") else "light"


def _span(seconds: float) -> str:
    for length, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"

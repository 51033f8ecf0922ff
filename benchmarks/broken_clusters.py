"""How long ``fcdcc-keras doctor`` takes on broken clusters, and what it names.

    python -m benchmarks.broken_clusters

Of processes that are really broken, in a network of their own (it needs root, and
iptables): each row is one run of the command, from its start to its end.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scheduler import free_port, scheduler, spawn
from cluster.edge_lab.isolation import isolate
from fcdcc_keras.text import table
from fcdcc_keras.worker.process import environment, lasting_command

HOST = "127.0.0.1"
WELL = ("kitchen", "cellar")
"""Workers that nothing is amiss with, in each of the clusters."""
_JOIN = 120.0
"""Seconds that workers get to join."""

OLDER = """
from fcdcc_keras import version
version.__version__, version.AS_BYTES = "0.0.9", b"0.0.9"
"""
WITHOUT_ENGINE = """
import importlib.util as util
def find_spec(name, package=None, find=util.find_spec):
    return None if name in ("ai_edge_litert", "tensorflow") else find(name, package)
util.find_spec = find_spec
"""
AHEAD = """
import time
time.time = lambda now=time.time: now() + 7300
"""
_GROUP = 4242
OF_A_GROUP = f"import os; os.setgid({_GROUP})"
"""By which a firewall tells apart who connects."""


@dataclass(frozen=True)
class Ill:
    """A worker that is ill."""

    name: str
    options: tuple[tuple[str, str], ...] = ()
    """Further ones of ``dask worker``."""
    code: str = ""
    """What it runs first of all."""
    memory: str = "0"
    strike: Callable[[Struck], object] = lambda struck: None
    """What is done to it when it is there."""


@dataclass(frozen=True)
class Struck:
    """A worker that is there, to be struck."""

    address: str
    process: int
    others: Sequence[str]
    """Addresses of the other workers."""


def _drop(address: str, *options: str) -> None:
    port = address.rpartition(":")[2]
    rule = f"-p tcp --syn --dport {port} -j DROP".split()
    subprocess.run(["iptables", "-w", "-A", *(options or ["INPUT"]), *rule], check=True)


def _drop_to_others(struck: Struck) -> None:
    """Has what a worker of the group opens to other workers dropped."""
    for address in struck.others:
        _drop(address, *f"OUTPUT -m owner --gid-owner {_GROUP}".split())


def _elsewhere(name: str) -> Ill:
    """Returns a worker that gives an address at which nothing listens."""
    listen, contact = (f"tcp://{HOST}:{free_port(HOST)}" for _ in range(2))
    return Ill(name, (("listen-address", listen), ("contact-address", contact)))


def _cases() -> Iterator[tuple[str, tuple[Ill, ...], dict[str, str], tuple[str, ...]]]:
    """Yields what is amiss, with which workers, what must be named, and options."""
    yield "none", (), {}, ()
    yield (
        "an address where nothing listens",
        (_elsewhere("attic"),),
        {"unreachable": "attic"},
        (),
    )
    yield (
        "a firewall that drops",
        (Ill("attic", strike=lambda struck: _drop(struck.address)),),
        {"unreachable": "attic"},
        (),
    )
    yield "another version", (Ill("attic", code=OLDER),), {"version": "attic"}, ()
    yield "no engine", (Ill("attic", code=WITHOUT_ENGINE),), {"no engine": "attic"}, ()
    yield "out of memory", (Ill("attic", memory="100MB"),), {"memory": "attic"}, ()
    yield "a clock two hours ahead", (Ill("attic", code=AHEAD),), {"clock": "attic"}, ()
    apart = Ill("attic", code=OF_A_GROUP, strike=_drop_to_others)
    yield "no way to other workers", (apart,), {"workers apart": "attic"}, ()
    stop = Ill("attic", strike=lambda one: os.kill(one.process, signal.SIGSTOP))
    yield "a stopped worker", (stop,), {"stalled": "attic"}, ()
    yield "an expected worker missing", (), {"missing": "attic"}, ("--expect", "attic")
    three = _elsewhere("attic"), Ill("shed", code=OLDER), Ill("loft", memory="100MB")
    wanted = {"unreachable": "attic", "version": "shed", "memory": "loft"}
    yield "three: unreachable, version, memory", three, wanted, ()
    yield "none, with --model VGG16", (), {}, ("--model", "VGG16")


@contextmanager
def _workers(address: str, ill: Sequence[Ill], folder: Path) -> Iterator[None]:
    """Has workers join, and strikes those that are ill."""
    from distributed import Client

    with ExitStack() as stack:
        processes = {}
        for worker in (*map(Ill, WELL), *ill):
            file = folder / f"{worker.name}.py"
            file.write_text(worker.code)
            command = lasting_command(
                address,
                name=worker.name,
                memory_limit=worker.memory,
                nanny=False,
                more=(*worker.options, ("preload", str(file))),
            )
            variables = environment(engine="light")
            process = spawn(command, variables)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes[worker.name] = process.pid
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(len(processes), timeout=_JOIN)
            there = client.scheduler_info(n_workers=-1)["workers"]
        where = {each["name"]: at for at, each in there.items()}
        for worker in ill:
            address = where[worker.name]
            others = [each for each in where.values() if each != address]
            worker.strike(Struck(address, processes[worker.name], others))
        yield


def _examined(address: str, options: Sequence[str]) -> tuple[dict[str, str], float]:
    """Returns whom the command names for which trouble, and the seconds it took."""
    program = "from fcdcc_keras.cli import main; main()"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor", address, "--json", *options],
        capture_output=True,
        text=True,
    )
    took = time.monotonic() - began
    found: dict[str, str] = {}
    for one in json.loads(done.stdout)["troubles"]:
        for where in one["where"]:
            found[one["kind"]] = f"{found.get(one['kind'], '')} {where.split(' ')[0]}"
    return found, took


def _row(
    fault: str, found: dict[str, str], wanted: dict[str, str], took: float
) -> tuple[str, ...]:
    named = all(who in found.get(kind, "").split() for kind, who in wanted.items())
    said = "; ".join(f"{kind}:{who}" for kind, who in found.items())
    return fault, "yes" if named else "NO", said or "–", f"{took:.1f}"


def _schedulers(stack: ExitStack) -> Iterator[tuple[str, str, str]]:
    """Yields what is amiss with a scheduler, its address, and what must be named."""
    address, process = stack.enter_context(scheduler(HOST))
    process.suspend()
    yield "a stopped scheduler", address, "scheduler: silent"
    mute = stack.enter_context(socket.create_server((HOST, 0)))
    address = f"tcp://{HOST}:{mute.getsockname()[1]}"
    _drop(address)
    yield "a scheduler behind a firewall", address, "scheduler: dropped"


def main() -> None:
    isolate()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for fault, ill, wanted, options in _cases():
            with scheduler(HOST) as (address, _), _workers(address, ill, Path(folder)):
                found, took = _examined(address, options)
            rows.append(_row(fault, found, wanted, took))
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    with ExitStack() as stack:
        for fault, address, kind in _schedulers(stack):
            found, took = _examined(address, ())
            rows.append(_row(fault, found, {kind: "scheduler"}, took))
    columns = "fault", "named", "what is said", "seconds"
    print(table("The doctor on broken clusters", columns, rows, right=["seconds"]))


if __name__ == "__main__":
    main()

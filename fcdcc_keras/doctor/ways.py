"""What it means how connections went: to the scheduler, and to workers. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from fcdcc_keras.doctor.findings import (
    Door,
    Findings,
    How,
    WorkerFound,
    host_of,
    is_loopback,
    port_of,
)
from fcdcc_keras.doctor.halos import unreached_by_others
from fcdcc_keras.doctor.trouble import Trouble, name_of
from fcdcc_keras.worker.exchange import WAITED

DOORS: tuple[Door, ...] = tuple(d for d in get_args(Door) if d != "scheduler")
"""What may be where a scheduler should be."""
_START = "start one there with `dask scheduler`"
_FILES = "--tls-ca-file, --tls-cert and --tls-key"


def at_the_door(found: Findings) -> list[Trouble]:
    """Returns what is amiss where a scheduler should be, if it is not there."""
    door, address = found.scheduler.door, found.address
    if door == "scheduler":
        return []
    host, port, said = host_of(address), port_of(address), found.scheduler.said
    secure, plain = f"tls://{host}:{port}", f"tcp://{host}:{port}"
    what, mend = {
        "no address": (
            f"{address!r} is no address of a scheduler",
            "give host and port, as tcp://192.168.1.10:8786; `dask scheduler` prints "
            "its own",
        ),
        "unresolved": (
            f"no machine is known by the name {host!r} ({said})",
            "check the name, or give the machine's address in numbers",
        ),
        "refused": (
            f"{host} is up, but nothing listens at its port {port}",
            f"check the port; {_START}; where it runs in a container, publish its port",
        ),
        "dropped": (
            f"nothing answers at {host}:{port}, not even by refusing: a firewall, or "
            "the machine is off",
            f"let {port} through the firewall of {host}, and see whether it is on",
        ),
        "no route": (
            f"there is no way to {host} ({said})",
            "see whether both machines are on, and in one network",
        ),
        "silent": (
            f"{host}:{port} takes connections, but nothing answers there",
            "see whether the scheduler's process is stopped or its machine overloaded; "
            "start it again",
        ),
        "speaks TLS": (
            f"the scheduler at {host}:{port} speaks TLS, which {address} does not ask "
            "for",
            f"use {secure} with {_FILES}",
        ),
        "speaks no TLS": (
            f"the scheduler at {host}:{port} speaks no TLS, which {address} asks for",
            f"use {plain}, or start the scheduler with --protocol tls and {_FILES}",
        ),
        "no certificate": (
            f"{address} needs certificates, and none are given",
            f"give {_FILES}, or name the files in Dask's configuration",
        ),
        "unknown authority": (
            f"the certificate of {host}:{port} is not from the authority of "
            f"--tls-ca-file ({said})",
            "give the certificate of the authority that signed the scheduler's; see "
            "that the clocks are right",
        ),
        "not admitted": (
            f"{host}:{port} does not take this client's certificate ({said})",
            "give one by --tls-cert and --tls-key that the scheduler's authority has "
            "signed, and that is valid now",
        ),
        "http": (
            f"a web server is at {host}:{port}, not a scheduler ({said})",
            "give the scheduler's port, often 8786; 8787 is that of its dashboard",
        ),
        "other": (
            f"something else than a Dask scheduler is at {host}:{port} ({said})",
            "give the address that `dask scheduler` printed; if that is it, install "
            "the same version of distributed on both sides",
        ),
    }[door]
    return [Trouble(f"scheduler: {door}", ("scheduler",), what, mend)]


def unreached(worker: WorkerFound, name: str, found: Findings) -> Iterator[Trouble]:
    """Gives what is amiss with the ways to a worker.

    Args:
        worker: The worker.
        name: What it is called.
        found: All findings.
    """
    touched = worker.by_client
    open_to = [
        touch is not None and touch.how == "open"
        for touch in (touched, worker.by_scheduler)
    ]
    if not worker.answers and any(open_to):
        yield Trouble(
            "stalled",
            (name,),
            "takes connections, but does not answer: its process is stopped, or its "
            "machine overloaded",
            "look at that machine (`kill -CONT` wakes a stopped process); restart the "
            "worker",
        )
    elif not worker.answers:
        how = "dropped" if touched is None else touched.how
        yield Trouble(
            "unreachable",
            (name,),
            f"is reached by neither client nor scheduler: {_HOW[how]}",
            _mend(how, worker, found),
        )
    elif not worker.answers_scheduler:
        there = worker.by_scheduler
        how = "dropped" if there is None or there.how == "open" else there.how
        yield Trouble(
            "not from scheduler",
            (name,),
            f"is not reached by the scheduler, only by this client: {_HOW[how]}",
            _mend(how, worker, found),
        )
    elif not worker.answers_client:
        how = "dropped" if touched is None or touched.how == "open" else touched.how
        yield Trouble(
            "not direct",
            (name,),
            f"is not reached by this client, only by the scheduler: {_HOW[how]}. All "
            "goes through the scheduler, which is slower",
            _mend(how, worker, found),
            fatal=False,
        )
    back = worker.to_scheduler
    if back is not None and back.how != "open":
        yield Trouble(
            "scheduler unreachable",
            (name,),
            f"does not reach the scheduler at {found.address} any more: "
            f"{_HOW[back.how]}",
            f"it would not come back if it were cut off: let its machine reach port "
            f"{port_of(found.address)} of {host_of(found.address)}",
            fatal=False,
        )


def apart(found: Findings) -> Iterator[Trouble]:
    """Gives what is amiss between workers, for which they exchange no halos."""
    well = [worker for worker in found.workers if worker.answers]
    cut = list(unreached_by_others(well))

    def trouble(worker: WorkerFound, what: str, to: WorkerFound, how: How) -> Trouble:
        return Trouble(
            "workers apart",
            (name_of(worker),),
            f"{what}: {_HOW[how]}. {_BY_THE_CLIENT}",
            _LET_EACH if how == "dropped" else _mend(how, to, found),
            fatal=False,
        )

    for worker in well:
        asked = [one for one in well if worker.address in one.to_workers]
        by = [touch.how for _, to, touch in cut if to is worker]
        if by and len(by) == len(asked):
            yield trouble(worker, "is not reached by other workers", worker, by[0])
            cut = [each for each in cut if each[1] is not worker]
    for worker in well:
        those = [(to, touch.how) for one, to, touch in cut if one is worker]
        if those:
            names = ", ".join(sorted(to.name for to, _ in those))
            yield trouble(worker, f"does not reach {names}", *those[0])
    said = [worker for worker in well if worker.unexchanged]
    # Who waited in vain is not to blame, as far as somebody else is.
    others = [worker for worker in said if not worker.unexchanged.startswith(WAITED)]
    for worker in others or said:
        yield Trouble(
            "no exchange",
            (name_of(worker),),
            f"does not exchange halos with other workers: {worker.unexchanged}. "
            f"{_BY_THE_CLIENT}",
            "look into its log; with TLS, workers show each other their certificates",
            fatal=False,
        )


_BY_THE_CLIENT = (
    "So workers give each other no halos: all tiles go by way of the client, which is "
    "slower and as right"
)
_LET_EACH = (
    "let workers reach each other's ports; --worker-port 3000:3010 has them use only "
    "those"
)
_HOW: dict[How, str] = {
    "open": "the connection breaks",
    "refused": "nothing listens at the address that it gives",
    "dropped": "nothing comes back from its port, as behind a firewall",
    "no route": "there is no way to the address that it gives",
    "unresolved": "the name in its address is not known",
}


def _mend(how: How, worker: WorkerFound, found: Findings) -> str:
    address = worker.address
    if is_loopback(address) and not is_loopback(found.address):
        return (
            "it gives an address that only its own machine reaches: start it with "
            "--host and the machine's address in the network"
        )
    if how == "dropped":
        return (
            f"let port {port_of(address)} of {host_of(address)} through its firewall; "
            "--worker-port 3000:3010 has workers use only those"
        )
    return (
        "see whether it runs, and what address its machine has; in a container or "
        "behind NAT give --listen-address and --contact-address, with several networks "
        "--host"
    )

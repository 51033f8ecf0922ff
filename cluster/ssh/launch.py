"""Starts scheduler and workers on machines, and ends them."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import asyncssh
from distributed import SpecCluster
from distributed.deploy import ssh

from cluster.ssh import trouble
from cluster.ssh.hosts import Host
from fcdcc_keras.errors import ClusterError

WORKER = "fcdcc_keras.worker.Worker"
PATIENCE = 60.0
"""Seconds in which a process must have started on its machine."""
_ANSWER = 10.0
"""Seconds in which a machine must answer."""


@contextmanager
def ssh_cluster(
    hosts: Sequence[Host],
    *,
    config: Path | None = None,
    port: int = 8786,
    dashboard: str = ":8787",
    patience: float = PATIENCE,
    **worker_options: Any,
) -> Iterator[SpecCluster]:
    """Has a scheduler on the first machine, and workers on those that are to have them.

    It is Dask's ``SSHCluster``, which has its own options for each machine and says
    which of them could not do its part.

    Args:
        hosts: The machines, of which the first is the scheduler's.
        config: A configuration of SSH's in place of ``~/.ssh/config``.
        port: The scheduler's; 0: a free one.
        dashboard: Where the scheduler's pages are to be.
        patience: Seconds in which each process must have started.
        **worker_options: Of ``fcdcc_keras.worker.Worker``.

    Raises:
        ClusterError: Machines cannot be reached or lack something, or a process did
            not start.
    """
    found = asyncio.run(_troubles(hosts, config))
    trouble.refuse(found)

    def options(host: Host, **of_process: Any) -> dict[str, Any]:
        return {
            "address": host.name,
            "connect_options": _connection(host, config),
            "kwargs": {**of_process, **_address(host)},
            "remote_python": host.python,
            "host": str(host),
            "patience": patience,
        }

    head = options(hosts[0], port=port, dashboard_address=dashboard)
    workers = {
        f"{host}-{i}" if host.workers > 1 else str(host): {
            "cls": _Worker,
            "options": {**options(host, **worker_options), "worker_class": WORKER},
        }
        for host in hosts
        for i in range(host.workers)
    }
    with _listening():
        try:
            cluster = _Cluster(
                workers, {"cls": _Scheduler, "options": head}, name="SSHCluster"
            )
        except RuntimeError as error:  # that is what it makes of the scheduler's
            raise (error.__cause__ or error) from None
    with cluster:
        _joined(cluster, workers, patience)
        yield cluster


class _Cluster(SpecCluster):
    def __init__(self, *args: Any, **options: Any) -> None:
        try:
            super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        except BaseException:
            # What has begun to start goes on doing so, and nobody has it to close it.
            self.close(timeout=PATIENCE)
            raise


def _joined(cluster: SpecCluster, names: Collection[str], patience: float) -> None:
    """Waits until workers of these names are there.

    Raises:
        ClusterError: Some are not within so many seconds.
    """
    with suppress(asyncio.TimeoutError):
        cluster.wait_for_workers(len(names), timeout=patience)
    there = {each["name"] for each in cluster.scheduler_info["workers"].values()}
    if away := sorted(set(names) - there):
        raise ClusterError(
            f"Workers must join their scheduler within {patience:g} s. Received: "
            f"{', '.join(away)} run and have not. {_reach(cluster.scheduler_address)}"
        )


def _reach(address: str) -> str:
    return (
        f"See whether their machines reach {address}: a firewall may be between them. "
        "If the scheduler's machine has several networks, write which of its addresses "
        "to use: address=IP."
    )


def _connection(host: Host, config: Path | None) -> dict[str, Any]:
    """Returns what asyncssh is to connect to a machine with."""
    given = {"username": host.user, "port": host.port}
    return {
        **{name: value for name, value in given.items() if value is not None},
        **({} if config is None else {"config": [str(config)]}),
        "connect_timeout": _ANSWER,
        "login_timeout": _ANSWER,
        # A machine that is gone is noticed, though nothing is sent to it.
        "keepalive_interval": _ANSWER,
    }


def _address(host: Host) -> dict[str, str]:
    return {} if host.address is None else {"host": host.address}


async def _troubles(hosts: Sequence[Host], config: Path | None) -> dict[Host, str]:
    """Returns what is wrong with which machines."""
    found = await asyncio.gather(*(_trouble(host, config) for host in hosts))
    return {host: text for host, text in zip(hosts, found, strict=True) if text}


async def _trouble(host: Host, config: Path | None) -> str | None:
    python = sys.executable
    try:
        async with asyncssh.connect(host.name, **_connection(host, config)) as machine:
            # Engines are not loaded, but a weak machine reads Dask for seconds.
            done = await machine.run(trouble.question(host, python), timeout=PATIENCE)
    # Before Python 3.11 a timeout is no OSError.
    except (OSError, asyncio.TimeoutError, asyncssh.Error) as error:
        return trouble.of_connection(host, error)
    return trouble.of_answer(host, python, str(done.stdout), str(done.stderr))


_words: ContextVar[list[str]] = ContextVar("_words")
"""What the process that is being started has said."""


class _Ear(logging.Handler):
    """Keeps what processes say while they start, which Dask's classes log."""

    def emit(self, record: logging.LogRecord) -> None:
        _words.get([]).append(record.getMessage())


@contextmanager
def _listening() -> Iterator[None]:
    logger, ear = logging.getLogger(ssh.__name__), _Ear()
    before = logger.level, logger.propagate
    logger.addHandler(ear)
    logger.level, logger.propagate = logging.INFO, False
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.level, logger.propagate = before


async def _started(
    start: Awaitable[None], patience: float, what: str, how: str
) -> None:
    """Waits until a process has started.

    Raises:
        ClusterError: It has ended, or has not started within ``patience`` seconds.
    """
    said: list[str] = []
    _words.set(said)
    try:
        await asyncio.wait_for(start, patience)
    # Dask's classes raise a plain Exception when a process ends.
    except Exception as error:
        late = isinstance(error, asyncio.TimeoutError)
        raise ClusterError(
            f"{what} must start within {patience:g} s. Received: "
            f"{'it has not yet' if late else 'it ended'}; its last words: "
            f"{(said or ['none'])[-1]!r}. {how}"
        ) from error


async def _ended(process: ssh.Process) -> None:
    """Lets a process clean up, as far as it does so soon; it is killed afterwards."""
    if process.proc is not None:
        process.proc.terminate()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.proc.wait_closed(), _ANSWER)


class _Worker(ssh.Worker):
    def __init__(self, *args: Any, patience: float, host: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._patience, self._host = patience, host
        self.kwargs["name"] = self.name

    async def start(self) -> None:
        await _started(
            super().start(),  # type: ignore[no-untyped-call]
            self._patience,
            f"The worker {self.name} on {self._host}",
            _reach(self.scheduler),
        )

    async def close(self) -> None:
        await _ended(self)
        await super().close()  # type: ignore[no-untyped-call]


class _Scheduler(ssh.Scheduler):
    def __init__(self, *args: Any, patience: float, host: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._patience, self._host = patience, host

    async def start(self) -> None:
        await _started(
            super().start(),  # type: ignore[no-untyped-call]
            self._patience,
            f"The scheduler on {self._host}",
            "If its port is taken, give another, by --port; if address=IP is none of "
            "this machine's, correct that.",
        )

    async def close(self) -> None:
        await _ended(self)
        await super().close()  # type: ignore[no-untyped-call]

"""The embedded default: a cluster of worker processes on this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from distributed.deploy.spec import ProcessInterface

from fcdcc_keras.dask_internals import processes_of
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker.process import TICK, command, environment

if TYPE_CHECKING:
    from distributed import Client

_MOST_BY_DEFAULT = 8
END_TIMEOUT = 5.0
"""Seconds that a client which was interrupted gets to close."""
_QUIET = "ignore:resource_tracker"
START_TIMEOUT = 120.0
"""Seconds that all the workers together get to start."""


def default_workers(stragglers: int) -> int:
    """Returns how many workers an embedded cluster gets if nobody says.

    One for each core, but never so few that redundancy leaves nothing to share.
    """
    cores = os.cpu_count() or 1
    return max(stragglers + 2, min(cores, _MOST_BY_DEFAULT))


class WorkerProcess(ProcessInterface):
    """One worker, started by the command that a user would give.

    Dask's own ``LocalCluster`` forks workers through ``multiprocessing``, which
    runs the user's script again in each of them: without a ``__main__`` guard
    that never ends, and with one it still imports everything.
    """

    def __init__(self, scheduler: str, name: str) -> None:
        # Dask's own place for a worker's files keeps those of one that was killed.
        self._folder = TemporaryDirectory(prefix="fcdcc-", ignore_cleanup_errors=True)
        self._command = [
            *command(scheduler, name=name, memory_limit="0"),
            *("--local-directory", self._folder.name),
        ]
        self._process: asyncio.subprocess.Process | None = None
        super().__init__(scheduler, name)  # type: ignore[no-untyped-call]

    async def start(self) -> None:
        """Starts the process; the scheduler sees later that it is there."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            # Each loss of a worker is an error to Dask; here it is expected, and
            # the trace says what became of every share.
            # What it leaves is cleared away without a word.
            env={
                **environment(),
                "DASK_LOGGING__DISTRIBUTED": "critical",
                "PYTHONWARNINGS": ",".join(
                    filter(None, [os.environ.get("PYTHONWARNINGS"), _QUIET])
                ),
            },
            stdin=asyncio.subprocess.DEVNULL,
            # A group of its own: Ctrl-C is for the client, which then ends it.
            start_new_session=True,
        )
        await super().start()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Ends the process and its children, even stopped ones."""
        if self._process is not None:
            self.kill()
            await self._process.wait()
        self._folder.cleanup()
        await super().close()  # type: ignore[no-untyped-call]

    def kill(self) -> None:
        """Kills the process and its children, without waiting.

        But for Python's tracker among them, which ends by itself when the others have,
        and sees to it that no semaphore of theirs is left to the machine.
        """
        import psutil

        if self._process is None:
            return
        group = self._process.pid
        with suppress(ProcessLookupError):
            os.kill(group, signal.SIGKILL)  # first: it would start others anew
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if os.getpgid(process.pid) == group and not _tracks(process):
                    process.kill()
        with suppress(OSError):
            os.killpg(group, signal.SIGCONT)


def _tracks(process: Any) -> bool:
    return any("multiprocessing.resource_tracker" in word for word in process.cmdline())


def start_local_cluster(workers: int) -> Client:
    """Starts worker processes on this machine and connects to them.

    Args:
        workers: Number of worker processes, of one thread each.

    Returns:
        A client that owns its cluster: end both with ``stop_local_cluster``.

    Raises:
        ClusterError: The workers did not start.
    """
    import dask
    from distributed import Scheduler
    from distributed.deploy.spec import SpecCluster

    with dask.config.set({"distributed.admin.tick.interval": TICK}):
        cluster = SpecCluster(
            name="fcdcc_keras",
            scheduler={
                "cls": Scheduler,
                "options": {
                    "host": "127.0.0.1",
                    "port": 0,
                    "dashboard": False,
                    "dashboard_address": "127.0.0.1:0",  # its plain HTTP server
                },
            },
            workers={
                str(i): {"cls": WorkerProcess, "options": {"name": str(i)}}
                for i in range(workers)
            },
            silence_logs=logging.CRITICAL,
        )
    try:
        client = _connected(cluster)
    except BaseException:
        cluster.close()
        raise
    try:
        client.wait_for_workers(workers, timeout=START_TIMEOUT)
    except BaseException as error:
        stop_local_cluster(client)
        if not isinstance(error, TimeoutError):
            raise
        raise ClusterError(
            f"{workers} local workers must start within {START_TIMEOUT:g} s. "
            f"Received: {error}. Use fewer workers, or run `fcdcc-keras worker "
            "ADDRESS` by hand to see what keeps one from starting."
        ) from error
    return client


def _connected(cluster: Any) -> Client:
    """Returns a client; one that is interrupted while it connects is closed, too.

    It would wait a minute for a loop that has ended, when Python does.
    """
    from distributed import Client

    class Connecting(Client):
        def __init__(self, *args: Any, **options: Any) -> None:
            try:
                super().__init__(*args, **options)  # type: ignore[no-untyped-call]
            except BaseException:
                with suppress(Exception):
                    self.close(timeout=END_TIMEOUT)  # type: ignore[no-untyped-call]
                raise

    return Connecting(cluster, set_as_default=False, direct_to_workers=True)


def stop_local_cluster(client: Client) -> None:
    """Ends a client and the local cluster that it owns, at once."""
    cluster: Any = client.cluster
    for worker in processes_of(cluster):
        worker.kill()  # asking first would wait for stopped ones
    client.close()
    cluster.close()

"""The process behind ``fcdcc-keras worker``: Dask's worker, which comes back.

python -m fcdcc_keras.worker.main WAIT AGAIN ADDRESS [OPTIONS OF DASK WORKER]

ADDRESS is "-" where ``--scheduler-file`` names the file that has it.

Dask's worker ends when it is cut off from its scheduler for half a minute, or stopped
for so long that it was dropped. This process then becomes a new one.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.text import causes, said_by, text_of
from fcdcc_keras.worker import cut_off
from fcdcc_keras.worker.process import IN_FILE, PRELOAD, grace_of
from fcdcc_keras.worker.reach import name_taken, wait_for_scheduler
from fcdcc_keras.worker.tls import FILES, security_of

if TYPE_CHECKING:
    from distributed import Security

_PAUSE = 1.0
"""Seconds before a worker comes back: it may be sent away at once."""
_TO_CLOSE = {signal.SIGINT: 1.0, signal.SIGTERM: 5.0}
"""Seconds after which everything is killed that a signal has not ended; after SIGTERM,
from the end of its grace."""
_NOT_OURS = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}
"""What the system says of an address or a port that this process cannot have."""
_interrupted = threading.Event()


def main(arguments: Sequence[str]) -> None:
    """Runs a worker until it is told to end.

    Args:
        arguments: Seconds to wait for the scheduler, the same when it comes back, and
            what ``dask worker`` takes.
    """
    wait, again, given, *options = arguments
    try:
        address, mine = _scheduler(given, options)
        address = wait_for_scheduler(
            address, _security(options), float(wait), _say, _names(options)
        )
        try:
            _work(address, mine)
        except OSError as error:  # the scheduler has gone while the worker joined it
            _say(f"The worker could not join {address} ({text_of(error)}).")
        else:
            # Leaving may break the connection before anything else ends it.
            if _interrupted.is_set() or not cut_off.cut_off():
                return
            _say(f"The worker was cut off from {address}. It comes back.")
        if _interrupted.wait(_PAUSE):
            return
    except ClusterError as error:
        # Of many machines' logs, it must be said whose this is.
        sys.exit(f"Error on {socket.gethostname()}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    module = "fcdcc_keras.worker.main"
    anew = [sys.executable, "-m", module, again, again, given, *options]
    os.execv(sys.executable, anew)


def _work(address: str, options: Sequence[str]) -> None:
    from distributed.cli import dask_worker

    _end_when_interrupted()
    modules = cut_off.__name__, PRELOAD
    preload = [f"--preload={m}" for m in modules]
    preload += [f"--preload-nanny={m}" for m in modules]
    try:
        dask_worker.main([address, *options, *preload], standalone_mode=False)
    except (ValueError, RuntimeError) as error:
        *_, first = causes(error)  # of which Dask says that a worker failed to start
        taken = re.search("name taken, ([^']*)", str(first))
        if taken:  # since the scheduler was asked
            raise name_taken(taken[1], "another has") from error
        if isinstance(first, OSError) and first.errno not in _NOT_OURS:
            raise ConnectionError(text_of(first)) from error
        if not isinstance(first, ValueError | OSError):
            raise
        raise ClusterError(
            "A worker's options must be such as `dask worker` can use. Received: "
            f"{' '.join(options)}: {said_by(first)}. Look what `fcdcc-keras worker "
            "--help` says of them."
        ) from error


def _end_when_interrupted() -> None:
    """Has an interrupt end this process and its children soon, whatever they do.

    Dask's worker waits for a subtask under way, and for a scheduler that is silent.
    """
    receiving, sending = socket.socketpair()
    sending.setblocking(False)
    # Handlers are Dask's; this tells of signals beside them.
    signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(receiving, sending), daemon=True)
    watch.start()


def _watch(receiving: socket.socket, _sending: socket.socket) -> None:
    import psutil

    while (number := receiving.recv(1)[0]) not in _TO_CLOSE:
        continue
    _interrupted.set()
    grace = grace_of(os.environ) if number == signal.SIGTERM else 0.0
    time.sleep(grace + _TO_CLOSE[signal.Signals(number)])
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(0)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _scheduler(
    address: str, options: Sequence[str]
) -> tuple[str | Path, Sequence[str]]:
    """Returns the scheduler's address, or its file, and the options besides."""
    if address != IN_FILE:
        return address, options
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--scheduler-file", type=Path, required=True)
    file, others = parser.parse_known_args(list(options))
    return file.scheduler_file, others


def _names(options: Sequence[str]) -> list[str]:
    """Returns what `dask worker` calls its workers; []: by their addresses."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--name")
    parser.add_argument("--nworkers", type=int, default=1)
    given = parser.parse_known_args(list(options))[0]
    if given.name is None or given.nworkers == 1:
        return [] if given.name is None else [given.name]
    return [f"{given.name}-{number}" for number in range(given.nworkers)]


def _security(options: Sequence[str]) -> Security:
    parser = argparse.ArgumentParser(add_help=False)
    for name in FILES:
        parser.add_argument(f"--tls-{name}")
    given = parser.parse_known_args(list(options))[0]
    return security_of("worker", vars(given))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    # The first process of a container has no default for it.
    signal.signal(signal.SIGTERM, _end)
    main(sys.argv[1:])

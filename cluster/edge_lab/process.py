"""A process that the lab's keeper has started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO


@dataclass
class Streams:
    """What connects a process with this one: pipes or nothing, and a log.

    The log is in memory, so that a crash leaves no file.
    """

    theirs: tuple[int, int, int]
    """Its standard input, output and error."""
    log: int
    """What it writes as errors."""
    stdin: IO[str] | None = None
    stdout: IO[str] | None = None

    @classmethod
    def with_pipes(cls) -> Streams:
        """Makes pipes to its input and from its output."""
        log = os.memfd_create("log")
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        theirs = their_in, their_out, os.dup(log)
        return cls(theirs, log, os.fdopen(our_out, "w"), os.fdopen(our_in))

    @classmethod
    def with_log(cls) -> Streams:
        """Makes a log for its output too, and no input."""
        log = os.memfd_create("log")
        return cls((os.open(os.devnull, os.O_RDONLY), os.dup(log), os.dup(log)), log)

    def read_log(self) -> str:
        """Returns all that is in the log."""
        return os.pread(self.log, os.fstat(self.log).st_size, 0).decode(
            errors="replace"
        )

    def close_theirs(self) -> None:
        """Closes its ends here, when it has got them."""
        for descriptor in self.theirs:
            os.close(descriptor)

    def close(self) -> None:
        """Closes this process's ends; the log stays while this object does."""
        for stream in filter(None, (self.stdin, self.stdout)):
            with suppress(BrokenPipeError):
                stream.close()

    def __del__(self) -> None:
        os.close(self.log)


class DeviceProcess:
    """A process on a device, or beside the client.

    Args:
        ask: Says what a process ended with, or None while it runs.
        pid: Its id, as this process sees it.
        argv: Program and arguments.
        streams: What connects it with this process.
    """

    def __init__(
        self,
        ask: Callable[[int], int | None],
        pid: int,
        argv: list[str],
        streams: Streams,
    ) -> None:
        self._ask = ask
        self.pid = pid
        """As this process sees it; on the device it has another."""
        self.argv = argv
        self.stdin = streams.stdin
        self.stdout = streams.stdout
        self._streams = streams
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Returns what it ended with, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._ask(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits until it ends, and returns what it ended with.

        Args:
            timeout: Seconds.

        Raises:
            subprocess.TimeoutExpired: It runs still.
        """
        if self.poll() is None:
            descriptor = os.pidfd_open(self.pid)
            try:
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                if not poll.poll(None if timeout is None else timeout * 1e3):
                    raise subprocess.TimeoutExpired(self.argv, timeout or 0)
            finally:
                os.close(descriptor)
        code = self.poll()
        assert code is not None
        return code

    def __enter__(self) -> DeviceProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self) -> str:
        """Returns what it has written as errors, and as output without a pipe."""
        return self._streams.read_log()

    def kill(self) -> None:
        """Kills it and its children, without waiting."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kills it if it runs, and closes the pipes."""
        self.kill()
        self.wait()
        self._streams.close()

"""A process that the lab's keeper has started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import IO


class DeviceProcess:
    """A process on a device, or beside the client.

    Args:
        ask: Says what a process ended with, or None while it runs.
        pid: Its id, as this process sees it.
        argv: Program and arguments.
        stdin: A pipe to its input, or None.
        stdout: A pipe from its output, or None.
    """

    def __init__(
        self,
        ask: Callable[[int], int | None],
        pid: int,
        argv: list[str],
        stdin: IO[str] | None,
        stdout: IO[str] | None,
    ) -> None:
        self._ask = ask
        self.pid = pid
        """As this process sees it; on the device it has another."""
        self.argv = argv
        self.stdin = stdin
        self.stdout = stdout
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

    def kill(self) -> None:
        """Kills it and its children, without waiting."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kills it if it runs, and closes the pipes."""
        self.kill()
        self.wait()
        for stream in filter(None, (self.stdin, self.stdout)):
            with suppress(BrokenPipeError):
                stream.close()

"""One run of the benchmark: what its figures, one after another, share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

    from fcdcc_keras.commands.progress import Stage


class Run:
    """What measurements share: settings, one cluster at a time, and progress."""

    def __init__(self, repeats: int | None = None, images: int = 60) -> None:
        """Takes the settings.

        Args:
            repeats: Rounds of every figure; None: as many as it takes by itself.
            images: Images over which the client's memory is watched.
        """
        self._repeats = repeats
        self.images = images
        self.stage: Stage | None = None
        """Shows the progress of the figure that is measured."""
        self._stack = ExitStack()
        self._key: object = None
        self._resource: Any = None

    def rounds(self, usual: int, besides: int = 1) -> int:
        """Returns how many rounds to measure, and announces them.

        Args:
            usual: As many as give a steady median, if nobody asks for another number.
            besides: Further steps that will be reported, as for warming up.
        """
        rounds = self._repeats or usual
        if self.stage is not None:
            self.stage.expect(rounds + besides)
        return rounds

    def step(self) -> None:
        """Reports that a step is done."""
        if self.stage is not None:
            self.stage()

    def shared(
        self, key: object, make: Callable[[], AbstractContextManager[Any]]
    ) -> Any:
        """Returns what the last figure used under the same key, or makes it.

        There is one at a time: what another key stands for is closed first, so that
        the machine holds no second cluster.
        """
        if key != self._key:
            self.close()
            self._resource = self._stack.enter_context(make())
            self._key = key
        return self._resource

    def loopback(self, workers: int) -> Client:
        """Returns a client whose cluster is that many processes on this machine."""
        client: Client = self.shared(("loopback", workers), lambda: _loopback(workers))
        return client

    def close(self) -> None:
        """Ends the cluster that is there."""
        self._key = self._resource = None
        self._stack.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@contextmanager
def _loopback(workers: int) -> Iterator[Client]:
    from fcdcc_keras.execution.cluster.embedded import (
        start_local_cluster,
        stop_local_cluster,
    )

    client = start_local_cluster(workers)
    try:
        yield client
    finally:
        stop_local_cluster(client)

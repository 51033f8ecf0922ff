"""One run of the benchmark: its figures one after another, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.figures.figure import Figure
from benchmarks.figures.registry import Entry
from fcdcc_keras.errors import FcdccError

if TYPE_CHECKING:
    from distributed import Client


class Run:
    """What measurements share: settings, one cluster at a time, and progress."""

    def __init__(
        self,
        repeats: int | None = None,
        images: int = 60,
        progress: Callable[[int | None], None] = lambda total: None,
    ) -> None:
        """Takes the settings.

        Args:
            repeats: Rounds of every figure; None: as many as it takes by itself.
            images: Images over which the client's memory is watched.
            progress: Called with the number of steps that a figure will take, and
                with None after each of them.
        """
        self._repeats = repeats
        self._progress = progress
        self.images = images
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
        self._progress(rounds + besides)
        return rounds

    def step(self) -> None:
        """Reports that a step is done."""
        self._progress(None)

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


def measure(
    entries: Sequence[Entry],
    run: Run,
    *,
    required: bool,
    before: Callable[[Entry], None] = lambda entry: None,
) -> Iterator[Figure]:
    """Measures figures, one after another.

    Args:
        entries: Which.
        run: What they share.
        required: Whether one that cannot be measured is an error; otherwise its
            figure says why.
        before: Called before each.

    Raises:
        FcdccError: A figure that is required cannot be measured here.
    """
    for entry in entries:
        before(entry)
        try:
            yield Figure(entry.goal, entry.load()(run))
        except FcdccError as error:
            if required:
                raise
            yield Figure(entry.goal, None, str(error))


@contextmanager
def _loopback(workers: int) -> Iterator[Client]:
    from fcdcc_keras.execution.embedded import start_local_cluster, stop_local_cluster

    client = start_local_cluster(workers)
    try:
        yield client
    finally:
        stop_local_cluster(client)

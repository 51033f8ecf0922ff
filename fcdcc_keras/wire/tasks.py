"""Subtasks as Dask tasks: works wherever Dask works, through the scheduler."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from fcdcc_keras.dask_internals import scheduler_of, workers_of
from fcdcc_keras.wire.requests import bytes_of
from fcdcc_keras.wire.transport import Subtask, Transport
from fcdcc_keras.worker.reply import MOST_TEXT, Reply
from fcdcc_keras.worker.weights import answer

if TYPE_CHECKING:
    from distributed import Client, Future


_config_lock = threading.Lock()
_RELEASE_AFTER = 0.1
"""Seconds after which results that were fetched are released at the latest."""


class TaskTransport(Transport):
    """A subtask is a future from ``client.submit`` that only its worker may run."""

    name = "tasks"

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._watching: set[asyncio.Task[None]] = set()
        self._done: list[Future[Any]] = []
        self._timer: asyncio.TimerHandle | None = None

    def send(
        self, name: str, subtasks: Sequence[Subtask]
    ) -> list[Coroutine[Any, Any, Reply]]:
        """Submits the subtasks; see ``Transport.send``."""
        futures = self._submit(name, subtasks)
        self._release_done()
        loop = asyncio.get_running_loop()
        ends = [loop.create_future() for _ in futures]
        watching = asyncio.ensure_future(_watch(futures, ends))
        self._watching.add(watching)  # the loop keeps only weak references
        watching.add_done_callback(self._watching.discard)
        return [
            self._reply(subtask, future, end)
            for subtask, future, end in zip(subtasks, futures, ends, strict=True)
        ]

    async def close(self) -> None:
        """Releases what has been fetched, and closes connections."""
        self._release_done()
        await super().close()

    async def ping(self, address: str) -> str:
        """Asks through the scheduler."""
        # It would look for one that has left, for half a minute, and log that.
        there = address in await workers_of(self._client)
        answers = there and await scheduler_of(self._client).broadcast(
            msg={"op": "identity"}, workers=[address], on_error="ignore"
        )
        if not answers:
            raise OSError(f"{address} is not on the scheduler")
        return str(answers[address]["id"])

    def _submit(self, name: str, subtasks: Sequence[Subtask]) -> list[Future[Any]]:
        """Submits one graph, each task of which is pinned to its worker.

        One message, where ``client.submit`` takes one for each of them.
        """
        import dask
        from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

        layers = {}
        for subtask in subtasks:
            key = self._key("conv", name, subtask.address)
            task = (answer, subtask.share, subtask.coded, subtask.program)
            pinned = {
                "workers": [subtask.address],
                "allow_other_workers": False,
                "retries": 0,
            }
            layers[key] = MaterializedLayer({key: task}, annotations=pinned)
        graph = HighLevelGraph(layers, {key: set() for key in layers})
        # Dask warns of large graphs to have the data sent only once, which it is.
        threshold = {"distributed.admin.large-graph-warning-threshold": "1 TiB"}
        with _config_lock, dask.config.set(threshold):
            futures: list[Future[Any]] = self._client.get(
                graph, list(layers), sync=False, optimize_graph=False
            )
        return futures

    async def _reply(
        self, subtask: Subtask, future: Future[Any], end: asyncio.Future[None]
    ) -> Reply:
        try:
            await end
            if future.status != "finished":
                raise RuntimeError(f"the subtask was {future.status}")
            return await self._fetch(subtask, future)
        finally:
            self._release_soon(future)

    def _release_soon(self, future: Future[Any]) -> None:
        """Lets the scheduler forget a subtask, after the next layer is submitted.

        Dask's connections pause for some milliseconds after a message, that from the
        client for 10: a release just before would hold up the layer.
        """
        self._done.append(future)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_RELEASE_AFTER, self._release_done)

    def _release_done(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, done, self._done = None, self._done, []
        for future in done:
            future.release()

    async def _fetch(self, subtask: Subtask, future: Future[Any]) -> Reply:
        """Returns the reply of a finished subtask.

        Every reply is fetched by a request of its own. ``Client.gather`` joins
        requests made at the same time, and a worker that freezes between
        finishing and sending would hold back the others' results.
        """
        key = future.key
        answer = await self.requests.ask_scheduler("gather", keys=[key])
        data = answer.get("data", {})
        if key not in data:
            raise RuntimeError("the result was lost with its worker")
        nbytes = subtask.result_nbytes
        return Reply.from_bytes(bytes_of(data[key], nbytes + MOST_TEXT), nbytes)


async def _watch(
    futures: Sequence[Future[Any]], ends: Sequence[asyncio.Future[None]]
) -> None:
    from distributed import as_completed

    by_key = {f.key: end for f, end in zip(futures, ends, strict=True)}
    async for future in as_completed(futures, loop=futures[0].client.loop):
        end = by_key[future.key]
        if not end.done():
            end.set_result(None)

"""Coded layers as Dask tasks: shares are scattered data, subtasks are futures."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import numpy as np

from fcdcc_keras.execution.subtask import Convolution, KernelShare, Reply, run_subtask

if TYPE_CHECKING:
    from distributed import Client, Future


_config_lock = threading.Lock()


class TaskTransport:
    """Moves shares, subtasks and results through a client. Runs on its loop."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._token = uuid4().hex[:8]
        self._count = 0

    async def place(self, name: str, address: str, share: np.ndarray) -> Future[Any]:
        """Puts a coded kernel into a worker's memory.

        Scattered data belongs to this client: Dask frees it when the client goes.

        Returns:
            The future that holds it there; to be released to free the memory.
        """
        key = self._key("kernel", name, address)
        placed = await self._client.scatter(
            {key: KernelShare(share)}, workers=[address], asynchronous=True
        )
        future: Future[Any] = placed[key]
        return future

    def submit(
        self,
        name: str,
        addresses: Sequence[str],
        shares: Sequence[Future[Any]],
        inputs: Sequence[np.ndarray],
        conv: Convolution,
    ) -> list[Future[Any]]:
        """Submits one subtask to each worker, and to no other."""
        import dask

        # Dask warns of large graphs to have the data sent only once, which it is.
        threshold = {"distributed.admin.large-graph-warning-threshold": "1 TiB"}
        with _config_lock, dask.config.set(threshold):
            return [
                self._client.submit(
                    run_subtask,
                    share,
                    coded,
                    conv,
                    key=self._key("conv", name, address),
                    workers=[address],
                    allow_other_workers=False,
                    pure=False,
                    retries=0,
                )
                for address, share, coded in zip(addresses, shares, inputs, strict=True)
            ]

    async def fetch(self, address: str, future: Future[Any]) -> Reply:
        """Returns the reply of a finished subtask.

        Every reply is fetched by a request of its own. ``Client.gather`` joins
        requests made at the same time, and a worker that freezes between
        finishing and sending would hold back the others' results.
        """
        from distributed.utils_comm import gather_from_workers

        key = future.key
        if self._client.direct_to_workers:
            data, *_ = await gather_from_workers({key: [address]}, self._client.rpc)
        else:
            scheduler: Any = self._client.scheduler
            data = (await scheduler.gather(keys=[key])).get("data", {})
        if key not in data:
            text = "the result was lost with its worker"
            return Reply(array=None, error=text, started=0.0, finished=0.0)
        return cast("Reply", data[key])

    def _key(self, what: str, name: str, address: str) -> str:
        # Dask's dashboard groups by what stands before the first hyphen.
        self._count += 1
        safe = name.replace("-", "_")
        return f"fcdcc:{what}:{safe}-{self._token}-{self._count}-{address}"

"""Requests whose answers are taken as they are: what comes back is not unpickled.

Dask's own connections deserialize what a worker returns. These leave it in its frames,
which our workers fill with bytes. What Dask itself marks as pickled in a message it
unpickles even here; see docs/security.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fcdcc_keras.dask_internals import connections_to, frames_of, named, scheduler_of
from fcdcc_keras.wire.compressed import expanded

if TYPE_CHECKING:
    from distributed import Client

_TEXT = 1 << 20
"""Bytes of text that a worker may answer."""
_CONNECTIONS = 4096
"""Connections that may be open at a time, over all workers."""
LEFT = "it left the cluster"
"""What is said for a worker that the scheduler does not have any more."""


class PlainRequests:
    """Asks workers and the scheduler. Made anywhere, used on the client's loop."""

    def __init__(self, client: Client) -> None:
        """Takes the client whose cluster is asked, with its certificates."""
        self._client = client
        self._pool = connections_to(client, _CONNECTIONS)
        self._started = False

    async def pool(self) -> Any:
        """Returns Dask's pool of connections, ready to be used."""
        if not self._started:
            await self._pool
            self._started = True
        return self._pool

    async def ask(self, address: str, op: str, **message: Any) -> Any:
        """Returns what a handler of a worker or of the scheduler answers."""
        pool = await self.pool()
        return await getattr(pool(address), op)(**message)

    async def ask_scheduler(self, op: str, **message: Any) -> Any:
        """Returns what a handler of the scheduler answers."""
        address = scheduler_of(self._client).address
        return await self.ask(address, op, **message)

    async def run(
        self, function: Callable[..., bytes], address: str | None = None
    ) -> str:
        """Runs a function on a worker's loop, as ``Client.run`` does.

        Args:
            function: Returns a text as bytes. It goes by its name, so that it need not
                be the same Python there.
            address: The worker's, whom the scheduler asks; None: the scheduler's own.

        Returns:
            The text; that of the exception, where it raised one.
        """
        message = {"function": named(function), "wait": True}
        if address is None:
            answer = await self.ask_scheduler("run_function", **message)
        else:
            answers = await self.ask_scheduler(
                "broadcast",
                msg={"op": "run", **message},
                workers=[address],
                on_error="ignore",
            )
            if address not in answers:
                return LEFT
            answer = answers[address]
        if answer["status"] != "OK":
            return str(answer["exception_text"])
        return bytes(bytes_of(answer["result"], _TEXT)).decode(errors="replace")

    def forget(self, address: str) -> None:
        """Closes the connections to a worker."""
        self._pool.remove(address)

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.close()


def bytes_of(sent: Any, most: int) -> Any:
    """Returns the bytes of a worker's answer, as they came.

    Args:
        sent: The answer.
        most: Bytes that it may have, compressed or not.

    Raises:
        ValueError: It has more, or is not compressed as its header says.
        TypeError: It is something else, from a worker in this process.
    """
    pieces = []
    for name, frame in frames_of(sent):
        pieces.append(expanded(name, frame, most))
        most -= pieces[-1].nbytes
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)

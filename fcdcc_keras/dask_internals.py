"""All that is used of Dask beyond its documentation; see ``undocumented``.

Documented, and so used anywhere: the methods of ``Client``, ``Future``, ``Security``
and ``SpecCluster``, ``as_completed``, plugins, preloads, ``get_worker``, ``secede``;
``distributed.comm`` with ``connect`` and ``Comm``; ``HighLevelGraph``, annotations and
configuration; ``Worker.data`` and ``Worker.executors``; that a server answers a message
``{"op": …}`` by the handler of that name.

Used here, for lack of a documented way to what each gives: running something on a
client's loop without waiting for ever where that ends; requests beside those of
``Client``, whose answers are not unpickled; how many batches of messages a connection
keeps, which is configured before it is made, and together with other logs; whether a
cluster is adaptive. What concerns workers is in ``dask_worker_internals``, what
concerns HTTP servers in ``monitoring.dashboard_internals``.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

from fcdcc_keras.errors import ClusterError, FcdccError
from fcdcc_keras.undocumented import changed

if TYPE_CHECKING:
    from distributed import Client

SCHEDULER_OPS = (
    *("broadcast", "echo", "events", "gather", "identity", "run_function"),
    "versions",
)
"""The handlers of a scheduler that are asked: one that it lacks never answers."""
WORKER_OPS = ("echo", "identity", "run", "versions")
"""Those of a worker, also by way of its scheduler."""
ENDED_FOR_MEMORY = "worker-restart-memory"
"""Where nannies say which worker they ended for memory: "worker", and its "rss"."""
CUT_OFF = frozenset(
    {
        "worker-handle-scheduler-connection-broken",
        "worker-heartbeat-missing",
        "worker-heartbeat-error",
        "scheduler-remove-worker",
        "nanny-unregister-failed",
    }
)
"""Dask's reasons for closing of a worker that nobody wanted to end."""
SCHEDULER_CLOSES = "scheduler-close"
"""Dask's reason for closing of a worker whose scheduler ends."""

_ENDED_EVERY = 0.5
"""Seconds between looks whether a loop that is waited for has ended."""


class ClosedError(ClusterError, ConnectionError):
    """A client was closed: nothing can be asked any more."""


# The client


def scheduler_of(client: Client) -> Any:
    """Returns what asks a client's scheduler by the names of handlers.

    Raises:
        ClosedError: The client is closed.
    """
    scheduler = part_of(client, "scheduler", "`Client.scheduler` asks the scheduler")
    if scheduler is None:
        raise ClosedError(
            "The client must be open while a model is distributed. Received: one that "
            "was closed. Make a new Client(address)."
        )
    return scheduler


def run_on_loop(
    client: Client, work: Callable[..., Coroutine[Any, Any, None]], *args: Any
) -> None:
    """Runs something on a client's loop, and waits for its end, in another thread.

    ``Client.sync`` waits for ever where the client is closed in the moment in which it
    has something put on the loop, that then ends without running it.

    Raises:
        ClosedError: The loop ended first.
    """
    loop: Any = part_of(client, "loop", "`Client.loop` is its loop")
    running = part_of(loop, "asyncio_loop", "a loop of Tornado's is one of asyncio's")
    working = work(*args)
    try:
        done = asyncio.run_coroutine_threadsafe(working, running)
        while not wait([done], _ENDED_EVERY).done:
            if not running.is_running():
                raise RuntimeError("the loop has ended")
    except RuntimeError as error:
        if inspect.getcoroutinestate(working) == inspect.CORO_CREATED:
            working.close()  # it never began
        raise ClosedError(
            f"A client's loop must run. Received: one that does not ({error}). Make a "
            "new client, and attach the model to it with fk.attach."
        ) from error
    except BaseException:
        done.cancel()
        raise
    done.result()


async def workers_of(client: Client) -> dict[str, int]:
    """Returns the addresses of the workers that the scheduler has. Runs on the loop.

    Raises:
        OSError: The scheduler is gone, or, as a ``ClosedError``, the client closed.
    """
    scheduler_of(client)  # `nthreads` would raise an AttributeError
    found = client.nthreads()
    if not hasattr(found, "__await__"):
        raise changed_dask("on its loop, `Client.nthreads` is awaited")
    workers: dict[str, int] = await found
    return workers


def connection_args(client: Client) -> dict[str, Any]:
    """Returns the security that a client connects with."""
    security = part_of(client, "security", "`Client.security` has its certificates")
    arguments: dict[str, Any] = security.get_connection_args("client")
    return arguments


def connections_to(client: Client, limit: int) -> Any:
    """Returns a pool of connections whose answers are not deserialized.

    To be awaited before its first use. Called with an address, it gives what asks there
    by the names of handlers.
    """
    try:
        from distributed.core import ConnectionPool

        return ConnectionPool(
            limit=limit, deserialize=False, connection_args=connection_args(client)
        )
    except (ImportError, TypeError) as error:
        raise changed_dask(f"`ConnectionPool` takes what it took ({error})") from error


def named(function: Callable[..., Any]) -> bytes:
    """Returns a function as the handlers that run one take it: by its name.

    Raises:
        AttributeError: It is made inside another, and has none.
        pickle.PicklingError: Likewise.
    """
    return pickle.dumps(function)


def by_value(function: Callable[..., Any]) -> bytes:
    """Returns a function likewise, with its code, if it is made inside another.

    Only for the same version of Python: another may end where it runs it.
    """
    try:
        from distributed.protocol.pickle import dumps
    except ImportError as error:
        raise changed_dask(f"`protocol.pickle` has `dumps` ({error})") from error
    sent: bytes = dumps(function)
    return sent


def as_frames(array: Any) -> Any:
    """Returns an array as it goes into a message, without a copy."""
    try:
        from distributed.protocol.serialize import to_serialize
    except ImportError as error:
        raise changed_dask(f"`to_serialize` is there ({error})") from error
    return to_serialize(array)


def frames_of(sent: Any) -> list[tuple[str | None, Any]]:
    """Returns an answer's bytes in pieces, each with the name of its compression."""
    try:
        from distributed.protocol.serialize import Serialize, Serialized
    except ImportError as error:
        raise changed_dask(f"`Serialized` is what it was ({error})") from error
    if isinstance(sent, Serialize):  # from a worker in this process
        sent = sent.data
    if not isinstance(sent, Serialized):
        return [(None, sent)]
    names = sent.header.get("compression") or (None,) * len(sent.frames)
    return list(zip(names, sent.frames, strict=True))


def decompress(name: str, frame: Any) -> Any:
    """Returns a frame that Dask has compressed as it was before.

    Raises:
        KeyError: This client lacks the package for that.
    """
    try:
        from distributed.protocol.compression import compressions
    except ImportError as error:
        raise changed_dask(f"`compressions` are listed ({error})") from error
    return compressions[name].decompress(frame)


def adaptive_minimum(cluster: Any) -> int | None:
    """Returns how many workers an adaptive cluster keeps; None for another cluster."""
    from distributed.deploy.cluster import Cluster

    if not isinstance(cluster, Cluster):
        return None
    adaptive = part_of(cluster, "_adaptive", "`Cluster._adaptive` is what `adapt` made")
    if adaptive is None:
        return None
    minimum: int = part_of(adaptive, "minimum", "`Adaptive.minimum` is what it keeps")
    return minimum


def connection_of(client: Client) -> list[Any]:
    """Returns the connection by which a client sends to its scheduler."""
    what = "`Client.scheduler_comm` sends messages"
    connection = part_of(client, "scheduler_comm", what)
    return [] if connection is None else [connection]  # of a client that is closed


def remember_nothing(connections: Iterable[Any]) -> None:
    """Has connections of Dask forget what they sent, and remember nothing."""
    for connection in connections:
        log = getattr(connection, "recent_message_log", None)
        if not isinstance(log, deque):
            raise changed_dask("`BatchedSend.recent_message_log` keeps what was sent")
        connection.recent_message_log = deque(maxlen=0)


def own_address(host: str) -> str:
    """Returns the address of this machine in the network of another.

    Raises:
        OSError: There is no way to it.
    """
    try:
        from distributed.utils import get_ip
    except ImportError as error:
        raise changed_dask(f"`utils.get_ip` tells the own address ({error})") from error
    return str(get_ip(host))


def port_of(address: str) -> int | None:
    """Returns the port of a server's address, if it has one.

    Raises:
        ValueError: It is no address.
        NotImplementedError: Likewise, for some protocols.
    """
    try:
        from distributed.comm.addressing import get_address_host_port
    except ImportError as error:
        raise changed_dask(f"`get_address_host_port` reads a port ({error})") from error
    port: int | None = get_address_host_port(address)[1]
    return port


def memory_here() -> tuple[float, float]:
    """Returns how many bytes of memory workers may take here, and how many are free.

    No more than the control group of this process is allowed.
    """
    import psutil

    try:
        from distributed.system import MEMORY_LIMIT
    except ImportError as error:
        raise changed_dask(f"`system.MEMORY_LIMIT` is all memory ({error})") from error
    return MEMORY_LIMIT, min(MEMORY_LIMIT, psutil.virtual_memory().available)


def processes_of(cluster: Any) -> list[Any]:
    """Returns what a ``SpecCluster`` has made of its specification of workers."""
    what = "`SpecCluster.workers` are its processes by name"
    return list(part_of(cluster, "workers", what).values())


# The scheduler


def connections_from(dask_scheduler: Any) -> list[Any]:
    """Returns the connections by which a scheduler sends to its workers."""
    what = "`Scheduler.stream_comms` send messages to workers"
    return list(part_of(dask_scheduler, "stream_comms", what).values())


def memory_of(worker: dict[str, Any]) -> tuple[bool, float, float]:
    """Returns whether a worker is paused, its bytes in use, and how many it may use.

    Args:
        worker: What the scheduler's ``identity`` tells of it.
    """
    try:
        used, limit = worker["metrics"]["memory"], worker["memory_limit"]
        return worker["status"] == "paused", used, limit or 0
    except (KeyError, TypeError) as error:
        what = "a scheduler's identity has its workers' status, memory and limit"
        raise changed_dask(f"{what} ({error!r})") from error


def described(worker: dict[str, Any]) -> tuple[str, str, str, int]:
    """Returns a worker's name, host, status and threads.

    Args:
        worker: What the scheduler's ``identity`` tells of it.
    """
    try:
        name, host, status = (str(worker[key]) for key in ("name", "host", "status"))
        return name, host, status, int(worker["nthreads"])
    except (KeyError, TypeError) as error:
        what = "a scheduler's identity has its workers' name, host, status and threads"
        raise changed_dask(f"{what} ({error!r})") from error


def versions_in(answer: dict[str, Any]) -> dict[str, str | None]:
    """Returns the versions of packages, and of "python", that a server has.

    Args:
        answer: What its ``versions`` tells.
    """
    try:
        told = dict(answer["packages"])
        python = ".".join(str(told["python"]).split(".")[:3])
    except (KeyError, TypeError, ValueError) as error:
        what = "the answer to `versions` has packages, and python among them"
        raise changed_dask(f"{what} ({error!r})") from error
    told["python"] = python
    return {str(name): v if v is None else str(v) for name, v in told.items()}


# What all this comes to where it is not so any more


def part_of(thing: Any, name: str, assumed: str) -> Any:
    """Returns an attribute of something of Dask's.

    Args:
        thing: Whose.
        name: The attribute's.
        assumed: What is assumed of it, for the error.

    Raises:
        ClusterError: It has none.
    """
    try:
        return getattr(thing, name)
    except AttributeError as error:
        raise changed_dask(assumed) from error


def changed_dask(assumed: str) -> FcdccError:
    """Returns the error that Dask is not as assumed."""
    return changed("distributed", assumed, ClusterError)

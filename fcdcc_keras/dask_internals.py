"""All that is used of Dask beyond its documentation; see ``undocumented``.

Documented, and so used anywhere: the methods of ``Client``, ``Future``, ``Security``
and ``SpecCluster``, ``as_completed``, plugins, preloads, ``get_worker``, ``secede``;
``distributed.comm`` with ``connect`` and ``Comm``; ``HighLevelGraph``, annotations and
configuration; ``Worker.data`` and ``Worker.executors``; that a server answers a message
``{"op": …}`` by the handler of that name.

Used here, for lack of a documented way to what each gives: running something on a
client's loop without waiting for ever where that ends; requests beside those of
``Client``, whose answers are not unpickled; handlers of our own in a running worker,
which answer when they are ready; why a worker closes, which plugins are not told; how
many batches of messages a connection keeps, which is configured before it is made, and
together with other logs; whether a cluster is adaptive.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import wait
from functools import wraps
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
    scheduler = _of(client, "scheduler", "`Client.scheduler` asks the scheduler")
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
    loop: Any = _of(client, "loop", "`Client.loop` is its loop")
    running = _of(loop, "asyncio_loop", "a loop of Tornado's is one of asyncio's")
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
        raise _changed("on its loop, `Client.nthreads` is awaited")
    workers: dict[str, int] = await found
    return workers


def connection_args(client: Client) -> dict[str, Any]:
    """Returns the security that a client connects with."""
    security = _of(client, "security", "`Client.security` has its certificates")
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
        raise _changed(f"`ConnectionPool` takes what it took ({error})") from error


def pickled(function: Callable[..., Any]) -> bytes:
    """Returns a function as the handlers that run one take it."""
    try:
        from distributed.protocol.pickle import dumps
    except ImportError as error:
        raise _changed(f"`protocol.pickle` has `dumps` ({error})") from error
    sent: bytes = dumps(function)
    return sent


def as_frames(array: Any) -> Any:
    """Returns an array as it goes into a message, without a copy."""
    try:
        from distributed.protocol.serialize import to_serialize
    except ImportError as error:
        raise _changed(f"`to_serialize` is there ({error})") from error
    return to_serialize(array)


def frames_of(sent: Any) -> list[tuple[str | None, Any]]:
    """Returns an answer's bytes in pieces, each with the name of its compression."""
    try:
        from distributed.protocol.serialize import Serialize, Serialized
    except ImportError as error:
        raise _changed(f"`Serialized` is what it was ({error})") from error
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
        raise _changed(f"`compressions` are listed ({error})") from error
    return compressions[name].decompress(frame)


def adaptive_minimum(cluster: Any) -> int | None:
    """Returns how many workers an adaptive cluster keeps; None for another cluster."""
    from distributed.deploy.cluster import Cluster

    if not isinstance(cluster, Cluster):
        return None
    adaptive = _of(cluster, "_adaptive", "`Cluster._adaptive` is what `adapt` made")
    if adaptive is None:
        return None
    minimum: int = _of(adaptive, "minimum", "`Adaptive.minimum` is what it keeps")
    return minimum


def connection_of(client: Client) -> list[Any]:
    """Returns the connection by which a client sends to its scheduler."""
    what = "`Client.scheduler_comm` sends messages"
    connection = _of(client, "scheduler_comm", what)
    return [] if connection is None else [connection]  # of a client that is closed


def remember_nothing(connections: Iterable[Any]) -> None:
    """Has connections of Dask forget what they sent, and remember nothing."""
    for connection in connections:
        log = getattr(connection, "recent_message_log", None)
        if not isinstance(log, deque):
            raise _changed("`BatchedSend.recent_message_log` keeps what was sent")
        connection.recent_message_log = deque(maxlen=0)


def own_address(host: str) -> str:
    """Returns the address of this machine in the network of another.

    Raises:
        OSError: There is no way to it.
    """
    try:
        from distributed.utils import get_ip
    except ImportError as error:
        raise _changed(f"`utils.get_ip` tells the own address ({error})") from error
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
        raise _changed(f"`get_address_host_port` reads a port ({error})") from error
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
        raise _changed(f"`system.MEMORY_LIMIT` is all memory ({error})") from error
    return MEMORY_LIMIT, min(MEMORY_LIMIT, psutil.virtual_memory().available)


def processes_of(cluster: Any) -> list[Any]:
    """Returns what a ``SpecCluster`` has made of its specification of workers."""
    what = "`SpecCluster.workers` are its processes by name"
    return list(_of(cluster, "workers", what).values())


# The scheduler


def connections_from(dask_scheduler: Any) -> list[Any]:
    """Returns the connections by which a scheduler sends to its workers."""
    what = "`Scheduler.stream_comms` send messages to workers"
    return list(_of(dask_scheduler, "stream_comms", what).values())


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
        raise _changed(f"{what} ({error!r})") from error


def add_routes(dask_scheduler: Any, routes: Iterable[tuple[str, Any, Any]]) -> None:
    """Has a running scheduler's HTTP server answer at further paths.

    Args:
        dask_scheduler: The scheduler.
        routes: Pattern of the path, handler and its arguments, as Tornado takes them.
    """
    application, prefix = _application(dask_scheduler), _prefix(dask_scheduler)
    application.add_handlers(
        ".*$", [(prefix + path, handler, given) for path, handler, given in routes]
    )


def add_page(dask_scheduler: Any, name: str, show: Callable[[Any], None]) -> str:
    """Adds a page to a running scheduler's dashboard, if it is not there, by Bokeh.

    Args:
        dask_scheduler: The scheduler.
        name: Its path.
        show: Is given a Bokeh document for each that looks at it.

    Returns:
        Its path on the server.
    """
    application, prefix = _application(dask_scheduler), _prefix(dask_scheduler)
    try:
        from distributed.dashboard.components.scheduler import BOKEH_THEME, env
        from distributed.dashboard.core import BokehApplication
        from distributed.dashboard.scheduler import template_variables

        applications = application.applications
    except (ImportError, AttributeError) as error:
        raise _changed(f"pages are added to the dashboard ({error})") from error
    if any(f"/{name}" in getattr(app, "app_paths", ()) for app in applications):
        return prefix + name
    bare = not any(hasattr(app, "app_paths") for app in applications)

    def filled(_: Any, shared: dict[str, Any], document: Any) -> None:
        document.template, document.theme = env.get_template("simple.html"), BOKEH_THEME
        document.template_variables.update(shared)
        show(document)

    # Where Dask's own pages are not served there is nothing to lead to.
    around = {"pages": [], "plots": []} if bare else template_variables(dask_scheduler)
    page = BokehApplication(
        {f"/{name}": filled}, dask_scheduler, prefix, template_variables=around
    )
    application.add_application(page)
    page.initialize(dask_scheduler.loop)
    page.start()
    return prefix + name


def add_link(dask_scheduler: Any, path: str) -> None:
    """Adds a link to what is on top of each page of a dashboard, where there is one."""
    dashboard = sys.modules.get("distributed.dashboard.scheduler")
    if dashboard is None:
        return
    what = "a dashboard's pages are among its template variables"
    pages = _of(dashboard, "template_variables", what)(dask_scheduler).get("pages")
    if not isinstance(pages, list):
        raise _changed(what)
    if path not in pages:
        pages.append(path)


def http_addresses(dask_scheduler: Any) -> list[tuple[str, str, str]]:
    """Returns "host:port" of each HTTP server, whose it is, and the name of that."""
    from distributed.comm import get_address_host  # type: ignore[attr-defined]

    what = "scheduler and workers tell the ports of their HTTP servers"
    try:
        own = dask_scheduler.services["dashboard"].port
        servers = [(dask_scheduler.address, own, "scheduler", "scheduler")]
        for worker in dask_scheduler.workers.values():
            port = worker.services.get("dashboard")
            servers.append((worker.address, port, "worker", str(worker.name)))
    except (AttributeError, KeyError) as error:
        raise _changed(f"{what} ({error!r})") from error
    found = []
    for address, port, role, name in servers:
        if port and not address.startswith("inproc://"):
            host = get_address_host(address)
            host = f"[{host}]" if ":" in host else host
            found.append((f"{host}:{port}", role, name))
    return found


def _application(dask_scheduler: Any) -> Any:
    what = "`Scheduler.http_application` answers requests"
    return _of(dask_scheduler, "http_application", what)


def _prefix(dask_scheduler: Any) -> str:
    """Returns what the paths of a scheduler's HTTP server begin with."""
    applications = _of(_application(dask_scheduler), "applications", "it has several")
    given = [app.prefix for app in applications if hasattr(app, "prefix")]
    return f"{given[0].rstrip('/')}/" if given else "/"


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
        raise _changed(f"{what} ({error!r})") from error


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
        raise _changed(f"{what} ({error!r})") from error
    told["python"] = python
    return {str(name): v if v is None else str(v) for name, v in told.items()}


# The worker


def check_worker(dask_worker: Any) -> None:
    """Checks, on a worker, that all is there that our handlers use."""
    data_of(dask_worker)
    threads_of(dask_worker)
    no_reply_yet()
    process_of(dask_worker)


def add_handler(dask_worker: Any, name: str, handler: Callable[..., Any]) -> None:
    """Has a running worker answer a message by a handler of ours."""
    _handlers(dask_worker)[name] = handler


def has_handler(dask_worker: Any, name: str) -> bool:
    """Returns whether a running worker has a handler of a name."""
    return name in _handlers(dask_worker)


def no_reply_yet() -> Any:
    """Returns what a handler returns that answers later, by itself."""
    from distributed.core import Status

    return _of(Status, "dont_reply", "a handler returns `Status.dont_reply`")


def data_of(dask_worker: Any) -> Any:
    """Returns what data a worker holds, by key."""
    return _of(dask_worker, "data", "`Worker.data` has its data by key")


def threads_of(dask_worker: Any) -> Any:
    """Returns the executor in whose threads a worker runs tasks."""
    what = '`Worker.executors["default"]` runs its tasks'
    try:
        return _of(dask_worker, "executors", what)["default"]
    except KeyError as error:
        raise _changed(what) from error


def process_of(dask_worker: Any) -> str:
    """Returns what Dask calls a worker's process, as ``identity`` tells it."""
    return str(_of(dask_worker, "id", "`Server.id` names a process"))


def threads_of_this_worker() -> int | None:
    """Returns how many threads the Dask worker has that runs this; None: on none."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return None
    what = "`Worker.state.nthreads` is how many threads it has"
    threads: int = _of(_of(worker, "state", what), "nthreads", what)
    return threads


def retired(process: Any) -> bool:
    """Returns whether a worker's scheduler has let it go, or its nanny is to close."""
    what = "`Server.status` says whether it closes gracefully"
    name: str = _of(_of(process, "status", what), "name", what)
    return name == "closing_gracefully"


def holds_task(dask_worker: Any, prefix: str) -> bool:
    """Returns whether a worker has a task under way, or its result, of such a key."""
    what = "`Worker.state.tasks` are the tasks that a worker has, by key"
    tasks = _of(_of(dask_worker, "state", what), "tasks", what)
    return any(str(key).startswith(prefix) for key in tasks)


def before_closing(
    process: Any, first: Callable[[dict[str, Any]], Coroutine[Any, Any, None]]
) -> None:
    """Has something done whenever a worker or nanny begins to close, before it does.

    Args:
        process: The worker or the nanny, as ``dask_setup`` gets it.
        first: Is given how it is to close, "reason" and "timeout" where they are said,
            which it may alter.
    """
    what = "`close` ends workers and nannies"
    close, handlers = _of(process, "close", what), _handlers(process)

    @wraps(close)
    async def closing(*args: Any, **how: Any) -> Any:
        await first(how)
        return await close(*args, **how)

    if handlers.get("terminate") != close:
        raise _changed("the handler `terminate` of workers and nannies is `close`")
    if "close_gracefully" not in handlers:  # of a nanny
        streams = _of(process, "stream_handlers", "a scheduler closes a worker so")
        if streams.get("close") != close:
            raise _changed("the stream handler `close` of a worker is its `close`")
        streams["close"] = closing
    process.close = handlers["terminate"] = closing


def note_why_closing(process: Any, note: Callable[[str], None]) -> None:
    """Has a reason noted whenever a worker or nanny begins to close.

    Args:
        process: The worker or the nanny, as ``dask_setup`` gets it.
        note: Is given the reason; "retired" for a worker that was, for which Dask has
            the reason of those that it drops.
    """
    retired(process)  # it can be told

    async def noting(how: dict[str, Any]) -> None:
        if retired(process) and "reason" in how:
            how["reason"] = "retired"
        note(how.get("reason", ""))

    before_closing(process, noting)
    handlers = _handlers(process)
    if "close_gracefully" in handlers:  # of a nanny, whose worker tells it why
        gracefully = handlers["close_gracefully"]

        @wraps(gracefully)
        def noting_gracefully(*args: Any, **kwargs: Any) -> Any:
            note(kwargs.get("reason", ""))
            return gracefully(*args, **kwargs)

        handlers["close_gracefully"] = noting_gracefully


def _handlers(server: Any) -> Any:
    return _of(server, "handlers", "`Server.handlers` has handlers by name")


def _of(thing: Any, name: str, assumed: str) -> Any:
    try:
        return getattr(thing, name)
    except AttributeError as error:
        raise _changed(assumed) from error


def _changed(assumed: str) -> FcdccError:
    return changed("distributed", assumed, ClusterError)

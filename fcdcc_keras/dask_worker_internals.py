"""All that is used of Dask's workers beyond its documentation; see ``dask_internals``.

Handlers of our own in a running worker or scheduler, which answer when they are ready;
why a worker closes, which plugins are not told.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from fcdcc_keras.dask_internals import changed_dask, part_of


def check_worker(dask_worker: Any) -> None:
    """Checks, on a worker, that all is there that our handlers use."""
    data_of(dask_worker)
    threads_of(dask_worker)
    no_reply_yet()
    process_of(dask_worker)
    connection_args_of(dask_worker)


def add_handler(dask_worker: Any, name: str, handler: Callable[..., Any]) -> None:
    """Has a running worker answer a message by a handler of ours."""
    _handlers(dask_worker)[name] = handler


def has_handler(dask_worker: Any, name: str) -> bool:
    """Returns whether a running worker has a handler of a name."""
    return name in _handlers(dask_worker)


def handler_of(dask_worker: Any, name: str) -> Any:
    """Returns a running worker's handler of a name."""
    return _handlers(dask_worker)[name]


def no_reply_yet() -> Any:
    """Returns what a handler returns that answers later, by itself."""
    from distributed.core import Status

    return part_of(Status, "dont_reply", "a handler returns `Status.dont_reply`")


def data_of(dask_worker: Any) -> Any:
    """Returns what data a worker holds, by key."""
    return part_of(dask_worker, "data", "`Worker.data` has its data by key")


def threads_of(dask_worker: Any) -> Any:
    """Returns the executor in whose threads a worker runs tasks."""
    what = '`Worker.executors["default"]` runs its tasks'
    try:
        return part_of(dask_worker, "executors", what)["default"]
    except KeyError as error:
        raise changed_dask(what) from error


def process_of(dask_worker: Any) -> str:
    """Returns what Dask calls a worker's process, as ``identity`` tells it."""
    return str(part_of(dask_worker, "id", "`Server.id` names a process"))


def connection_args_of(dask_worker: Any) -> dict[str, Any]:
    """Returns the security that a worker connects to others with."""
    what = "`Worker.connection_args` is what it connects with"
    args: dict[str, Any] = part_of(dask_worker, "connection_args", what)
    return args


def threads_of_this_worker() -> int | None:
    """Returns how many threads the Dask worker has that runs this; None: on none."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return None
    what = "`Worker.state.nthreads` is how many threads it has"
    threads: int = part_of(part_of(worker, "state", what), "nthreads", what)
    return threads


def lifetime_of(dask_worker: Any) -> tuple[float | None, bool]:
    """Returns after how many seconds a worker is to end, and if one comes after it."""
    what = "`Worker.lifetime` is the seconds until it ends, `lifetime_restart` a flag"
    lifetime = part_of(dask_worker, "lifetime", what)
    return lifetime or None, bool(part_of(dask_worker, "lifetime_restart", what))


def retired(process: Any) -> bool:
    """Returns whether a worker's scheduler has let it go, or its nanny is to close."""
    what = "`Server.status` says whether it closes gracefully"
    name: str = part_of(part_of(process, "status", what), "name", what)
    return name == "closing_gracefully"


def keys_of(dask_worker: Any) -> list[str]:
    """Returns the keys of what a worker has under way, and of what it holds."""
    what = "`Worker.state.tasks` are the tasks that a worker has, by key"
    return list(map(str, part_of(part_of(dask_worker, "state", what), "tasks", what)))


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
    close, handlers = part_of(process, "close", what), _handlers(process)

    @wraps(close)
    async def closing(*args: Any, **how: Any) -> Any:
        await first(how)
        return await close(*args, **how)

    if handlers.get("terminate") != close:
        raise changed_dask("the handler `terminate` of workers and nannies is `close`")
    if "close_gracefully" not in handlers:  # of a nanny
        streams = part_of(process, "stream_handlers", "a scheduler closes a worker so")
        if streams.get("close") != close:
            raise changed_dask("the stream handler `close` of a worker is its `close`")
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
    return part_of(server, "handlers", "`Server.handlers` has handlers by name")

"""Whether a worker has ended because it was cut off, and should come back.

Dask loads this into its worker and its nanny. It ends both when the connection to the
scheduler breaks, as when the scheduler ends them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

_CUT_OFF = frozenset(
    {
        "worker-handle-scheduler-connection-broken",
        "worker-heartbeat-missing",
        "worker-heartbeat-error",
        "scheduler-remove-worker",
        "nanny-unregister-failed",
    }
)
"""Dask's reasons for closing of a worker that nobody wanted to end."""

_reasons: list[str] = []


def cut_off() -> bool:
    """Returns whether the worker of this process was cut off, before anything else."""
    return bool(_reasons) and _reasons[0] in _CUT_OFF


def dask_setup(process: Any) -> None:
    """Has the reasons remembered for which a nanny or a worker closes.

    A worker tells its nanny, in another process, to close for the same reason.
    """
    process.close = close = _remembering(process)
    process.handlers["terminate"] = close
    if "close_gracefully" in process.handlers:  # of a nanny
        process.handlers["close_gracefully"] = _remembering_graceful(process)
    else:
        process.stream_handlers["close"] = close


def _remembering(process: Any) -> Callable[..., Any]:
    close = process.close

    @wraps(close)
    async def remember(*args: Any, **kwargs: Any) -> Any:
        # Dask gives one reason for those that it retires and those that it drops.
        if process.status.name == "closing_gracefully" and "reason" in kwargs:
            kwargs["reason"] = "retired"
        _reasons.append(kwargs.get("reason", ""))
        return await close(*args, **kwargs)

    return remember


def _remembering_graceful(nanny: Any) -> Callable[..., Any]:
    close = nanny.handlers["close_gracefully"]

    @wraps(close)
    def remember(*args: Any, **kwargs: Any) -> Any:
        _reasons.append(kwargs.get("reason", ""))
        return close(*args, **kwargs)

    return remember

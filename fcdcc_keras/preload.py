"""Gives plain ``dask worker``s and ``dask scheduler`` the settings of our own command.

    dask worker tcp://192.168.1.10:8786 --preload fcdcc_keras.preload

Or by Dask's configuration, as ``DASK_DISTRIBUTED__WORKER__PRELOAD``. Dask loads it in
the process of the command, before there is a worker, whose process then inherits what
is set here; and, once the worker runs, calls ``dask_setup``.
"""

from __future__ import annotations

import os
from typing import Any

import dask
from distributed import Nanny, Worker

from fcdcc_keras.worker.allocator import keep_large_arrays
from fcdcc_keras.worker.counters import COUNTERS
from fcdcc_keras.worker.farewell import (
    close_at_sigterm,
    close_in_time,
    wait_for_farewell,
)
from fcdcc_keras.worker.process import CONFIGURED, ENVIRONMENT


def dask_setup(server: Any) -> None:
    """Has a worker or nanny end properly when told to, and figures shown.

    Dask calls this.

    Args:
        server: What loads this: a worker, a nanny, or a scheduler.
    """
    if isinstance(server, Worker):
        close_at_sigterm(server)
        close_in_time(server)
        COUNTERS.show()
    elif isinstance(server, Nanny):
        wait_for_farewell(server)
    else:
        # Of the client's rooms, which a worker on a small board does without.
        from fcdcc_keras.monitoring.figures import show

        show(server)


def _set_up_process() -> None:
    """Sets what is read but once; whoever set something else first knows why."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    dask.config.set(CONFIGURED)
    keep_large_arrays()


_set_up_process()  # what is imported as a preload is imported for that

"""Has plain schedulers and workers of Dask show figures from their start on.

    dask scheduler --preload fcdcc_keras.monitoring.preload

They do so without, as soon as a client distributes a model over them.
"""

from __future__ import annotations

from typing import Any

from distributed import Scheduler, Worker

from fcdcc_keras.monitoring.figures import show
from fcdcc_keras.worker.counters import COUNTERS


def dask_setup(server: Any) -> None:
    """Begins to show figures; Dask calls this.

    Args:
        server: What loads this: a scheduler, a worker, or a nanny, which has none.
    """
    if isinstance(server, Scheduler):
        show(server)
    elif isinstance(server, Worker):
        COUNTERS.show()

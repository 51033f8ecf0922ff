"""What a scheduler does for us: keeps workers that hold kernels, tells who comes, goes.

To Dask, workers that have no tasks are idle, whatever data is on them: an adaptive
cluster would take them away. This asks for nothing while no model is distributed:
shares go with their client.
"""

from __future__ import annotations

from typing import Any

from distributed import SchedulerPlugin

from fcdcc_keras.wire.transport import KERNEL
from fcdcc_keras.worker.farewell import NEWS


class Hold(SchedulerPlugin):
    """On the scheduler: workers with a kernel share are not to be retired as idle.

    Clients are told at once of who has come or gone.
    """

    name = "fcdcc-hold"
    idempotent = True

    def valid_workers_downscaling(
        self, scheduler: Any, workers: list[Any]
    ) -> list[Any]:
        """Returns those of some workers that an adaptive cluster may take away."""
        return [
            worker for worker in workers if not any(map(_is_share, worker.has_what))
        ]

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Tells of one that has come."""
        scheduler.log_event(NEWS, {"come": worker})

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        """Tells of one that has gone, whatever the reason."""
        scheduler.log_event(NEWS, {"gone": worker})


def _is_share(task: Any) -> bool:
    return str(task.key).startswith(KERNEL)

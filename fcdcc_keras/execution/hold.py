"""Keeping an adaptive cluster from taking away the workers that hold kernels.

To Dask, workers that have no tasks are idle, whatever data is on them. This asks for
nothing while no model is distributed: shares go with their client.
"""

from __future__ import annotations

from typing import Any

from distributed import SchedulerPlugin

from fcdcc_keras.wire.transport import KERNEL


class Hold(SchedulerPlugin):
    """On the scheduler: workers with a kernel share are not to be retired as idle."""

    name = "fcdcc-hold"
    idempotent = True

    def valid_workers_downscaling(
        self, scheduler: Any, workers: list[Any]
    ) -> list[Any]:
        """Returns those of some workers that an adaptive cluster may take away."""
        return [
            worker for worker in workers if not any(map(_is_share, worker.has_what))
        ]


def _is_share(task: Any) -> bool:
    return str(task.key).startswith(KERNEL)

"""The worker that Dask's clusters start by the name of a class, as ``SSHCluster``."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import dask
from distributed import Nanny

from fcdcc_keras.worker.installed import resolve
from fcdcc_keras.worker.process import CONFIGURED, PRELOAD, variables

_BEFORE = "distributed.nanny.pre-spawn-environ"
"""What Dask has a worker's process find in its environment when it starts."""
_GONE = "60 s"
"""How long a worker looks for its scheduler, which was there when it was started: one
that its nanny starts anew while the cluster ends would look for ever, on a machine that
nobody looks after."""


class Worker(Nanny):
    """A worker as ``fcdcc-keras worker`` starts it, with its nanny.

    By its name, ``fcdcc_keras.worker.Worker``, for ``SSHCluster(worker_class=…)`` and
    other specifications of clusters.
    """

    def __init__(
        self,
        *args: Any,
        nthreads: int = 1,
        engine: str | None = None,
        gpu: int | None = None,
        env: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Takes what ``distributed.Nanny`` does.

        Args:
            *args: The scheduler's address.
            nthreads: Threads for convolutions.
            engine: What computes: "light", "tensorflow", or "auto".
            gpu: The only GPU to use.
            env: Further variables of the environment.
            **options: Further options of ``distributed.Nanny``.
        """
        options.setdefault("death_timeout", _GONE)
        for which in ("preload", "preload_nanny"):
            options[which] = [*(options.get(which) or ()), PRELOAD]
        said = variables(nthreads, gpu, resolve(engine or "auto", gpu is not None))
        before = {**dask.config.get(_BEFORE), **said}
        with dask.config.set({**CONFIGURED, _BEFORE: before}):
            options |= {
                "nthreads": nthreads,
                "env": {**said, **(env or {})},
                # A copy, which stays when that of this process is set back.
                "config": deepcopy(dask.config.config),
            }
            super().__init__(*args, **options)

"""Whether a worker has ended because it was cut off, and should come back.

Dask loads this into its worker and its nanny. It ends both when the connection to the
scheduler breaks, as when the scheduler ends them.
"""

from __future__ import annotations

import logging
from typing import Any

from fcdcc_keras.dask_internals import CUT_OFF
from fcdcc_keras.dask_worker_internals import note_why_closing
from fcdcc_keras.errors import ClusterError

logger = logging.getLogger(__name__)

_reasons: list[str] = []


def cut_off() -> bool:
    """Returns whether the worker of this process was cut off, before anything else."""
    return bool(_reasons) and _reasons[0] in CUT_OFF


def dask_setup(process: Any) -> None:
    """Has the reasons remembered for which a nanny or a worker closes.

    A worker tells its nanny, in another process, to close for the same reason.
    """
    try:
        note_why_closing(process, _reasons.append)
    except ClusterError as error:
        logger.warning("This worker does not come back when it is cut off: %s", error)

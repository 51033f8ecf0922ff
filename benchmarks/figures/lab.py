"""The edge lab as the figures use it: weak devices, emulated on this machine."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from cluster import edge_lab
from fcdcc_keras.errors import FcdccError

SHARE, RATE = 0.25, "1gbit"
"""Share of a core of each device, and its link."""


def isolate(*, required: bool) -> None:
    """Starts this command anew where it reaches no network, if it has not yet.

    Args:
        required: Whether it is an error where no lab can be brought up. Otherwise
            nothing is done there.

    Raises:
        FcdccError: No lab can be brought up here.
    """
    try:
        edge_lab.check_requirements()
        edge_lab.isolate()
    except FcdccError:
        if required:
            raise


def weak_devices(number: int) -> AbstractContextManager[edge_lab.EdgeLab]:
    """Brings devices up, beside a client that has a core to itself."""
    return edge_lab.edge_lab(
        devices=number,
        cpu=SHARE,
        rate=RATE,
        pin_client=min(os.sched_getaffinity(0)),
    )

"""What a model says and does where its workers' answers do not suffice."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.errors import CorruptResultError, FcdccError, NotEnoughWorkersError
from fcdcc_keras.execution.records import Notes, Policy


def warn_once(notes: Notes, subject: str, message: str) -> None:
    """Warns once of each subject."""
    mine = object()
    # Two threads may come to it at the same time.
    if notes.warned.setdefault(subject, mine) is mine:
        try:
            warnings.warn(message, RuntimeWarning, stacklevel=3)
        except BaseException:
            del notes.warned[subject]
            raise


def warn_of_liars(notes: Notes, name: str, addresses: Iterable[str]) -> None:
    """Warns of workers whose results contradicted those of the others.

    Args:
        notes: The model's.
        name: Of the layers, for people.
        addresses: The workers'.
    """
    for address in addresses:
        warn_once(
            notes,
            address,
            f"The worker {address} gave a result of layer {name!r} that contradicts "
            "those of the others. It is not used any more: check that machine.",
        )


def fall_back(
    policy: Policy,
    notes: Notes,
    message: str,
    records: Iterable[SubtaskRecord],
    *,
    disputed: bool,
) -> str:
    """Warns that the client computes layers itself, and returns why.

    Args:
        policy: What the model is to do.
        notes: The model's.
        message: What was needed, and what there was.
        records: What became of what was sent.
        disputed: Whether results contradict each other.

    Raises:
        NotEnoughWorkersError: The policy's fallback is "raise".
        CorruptResultError: Likewise, where results contradict each other.
    """
    error: type[FcdccError]
    if disputed:
        error, reason = CorruptResultError, "results contradict each other"
        remedy = "Check the workers' machines, "
    else:
        error, reason = NotEnoughWorkersError, "too few workers"
        remedy = "Distribute the model again over the workers that are there, "
    fates = [
        f"{r.address}: {r.outcome}{f' ({r.detail})' if r.detail else ''}"
        for r in records
        if r.outcome != "used"
    ]
    message = "; ".join([message, *fates]) + "."
    if policy.fallback == "raise":
        raise error(
            f"{message} {remedy}allow more `stragglers`, or use fallback='local'."
        )
    warn_once(
        notes,
        reason,
        f"{message} The client computes such a layer itself, which is slow; further "
        "cases are only in the trace.",
    )
    return reason

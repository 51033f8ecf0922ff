"""Who exchanges halos for the doctor, what they are sent, and what that tells. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from fcdcc_keras.doctor.findings import Touch, WorkerFound
from fcdcc_keras.doctor.on_worker import HaloPart
from fcdcc_keras.execution.calibration.exchanging import (
    MANY,
    MOST,
    bands_of,
    kernels_of,
    seconds_of_a_halo,
)

RUNS = 5
"""Times that halos are exchanged; the first does not count."""


def team_of(workers: Sequence[WorkerFound]) -> list[WorkerFound]:
    """Returns who is to exchange halos; []: there is no use in that.

    Who is asked by way of the scheduler exchanges nothing, and where one does not
    reach another, it would only be waited for.
    """
    able = [worker for worker in workers if worker.is_able]
    direct = all(worker.answers_client for worker in able)
    if len(able) < 2 or not direct or any(unreached_by_others(able)):
        return []
    return able[:MOST]


def unreached_by_others(
    workers: Sequence[WorkerFound],
) -> Iterator[tuple[WorkerFound, WorkerFound, Touch]]:
    """Gives each worker that does not reach another, that one, and what came of it."""
    there = {worker.address: worker for worker in workers}
    for worker in workers:
        for address, touch in worker.to_workers.items():
            if touch.how != "open" and address in there:
                yield worker, there[address], touch


def parts_of(addresses: Sequence[str], name: str) -> list[HaloPart]:
    """Returns what each of some workers is to do.

    Args:
        addresses: Of the workers.
        name: Of the exchange; no other has it.
    """
    run, kernels = bands_of(MANY, addresses), kernels_of(MANY)
    tiles, parts = run.chains[0].tiles, []
    for slot, tile in enumerate(tiles):
        (read,) = tile.tile.inputs
        _, _, channels, _ = kernels[0]
        stages = run.stages(slot, tuple(addresses), ("",) * (MANY - 1))
        parts.append(
            HaloPart(
                *(name, slot, (*map(len, read), channels), tile.text),
                *(tuple(kernels), stages, RUNS),
            )
        )
    return parts


def exchange_of(workers: Sequence[WorkerFound]) -> float:
    """Returns what calibrations have as ``exchange``; 0: nothing is exchanged."""
    team = team_of(workers)
    found = [worker.halo for worker in team if worker.halo is not None]
    if not team or len(found) < len(team):
        return 0.0
    return seconds_of_a_halo(median(found), len(team))

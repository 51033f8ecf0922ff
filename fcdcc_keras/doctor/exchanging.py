"""Having workers exchange halos, to know how long that takes, and that they do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import uuid4

from fcdcc_keras.doctor import on_worker, reading
from fcdcc_keras.doctor.asking import Asking, within
from fcdcc_keras.doctor.findings import WorkerFound
from fcdcc_keras.doctor.halos import parts_of, team_of
from fcdcc_keras.text import said_by
from fcdcc_keras.worker.handler import install


async def have_exchanged(
    workers: Sequence[WorkerFound],
    asking: Mapping[str, Asking],
    patience: float,
    left: float,
) -> list[WorkerFound]:
    """Has workers exchange halos, each with its neighbours, if all can.

    Args:
        workers: All.
        asking: What asks each of them, by its address.
        patience: Seconds that this may take.
        left: Seconds that the examination may take yet.
    """
    team = team_of(workers)
    if not team:
        return list(workers)
    late = "it took too long"
    if left < patience:
        patience, late = left, "no time was left for it; give a longer --timeout"
    # Whoever is given something must know what that is.
    ready = [within(patience, asking[one.address].run(install)) for one in team]
    await asyncio.gather(*ready)
    parts = parts_of([one.address for one in team], f"doctor {uuid4()}")

    async def exchanged(worker: WorkerFound, part: on_worker.HaloPart) -> WorkerFound:
        run = asking[worker.address].run(partial(on_worker.exchange, part, patience))
        try:
            said = json.loads(await asyncio.wait_for(run, patience))
            if isinstance(said, str):
                return replace(worker, unexchanged=reading.printable(said))
            return replace(worker, halo=float(said))
        except asyncio.TimeoutError:
            return replace(worker, unexchanged=late)
        except Exception as error:  # whatever it is, it did not exchange
            return replace(worker, unexchanged=reading.printable(said_by(error)))

    asked = [exchanged(*each) for each in zip(team, parts, strict=True)]
    found = {one.address: one for one in await asyncio.gather(*asked)}
    return [found.get(worker.address, worker) for worker in workers]

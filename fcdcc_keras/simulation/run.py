"""``simulate``: passes of a planned model, over workers that nobody need have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Literal

from fcdcc_keras.errors import FcdccError, PlanError
from fcdcc_keras.planning import Calibration, Plan
from fcdcc_keras.planning.stragglers import NoStraggling, Straggling
from fcdcc_keras.simulation.cluster import Cluster, Death
from fcdcc_keras.simulation.links import Network
from fcdcc_keras.simulation.load import Load
from fcdcc_keras.simulation.results import Simulation, mean_times
from fcdcc_keras.simulation.session import Session
from fcdcc_keras.simulation.sketch import Sketch
from fcdcc_keras.simulation.slowness import slowness

Policy = Literal["eager", "hedged", "speculative"]


def simulate(
    plan: Plan | Sketch,
    device: Calibration,
    straggling: Straggling | None = None,
    *,
    passes: int = 20,
    seed: int = 0,
    redundancy: Policy = "eager",
    slowed: Mapping[int, float] | None = None,
    deaths: Sequence[Death] = (),
    between: float = 0.0,
    pause: float = 0.0,
) -> Simulation:
    """Simulates passes of a planned model, of one image of float32 each.

    Args:
        plan: What ``fk.plan`` or ``sketch`` returned.
        device: Figures of the workers, their links and the client: measured by
            ``fk.calibrate``, or of ``planning.devices``.
        straggling: Law of the slowdown of subtasks; default: there is none.
        passes: How many, one after another.
        seed: Of all chances: the same gives the same result.
        redundancy: "eager", "hedged" (as ``fk.distribute``), or "speculative": of an
            uncoded plan, late parts are copied to other workers.
        slowed: Besides: how many times slower some workers are all the time, by
            index; infinity stops one.
        deaths: Workers that die on the way.
        between: Seconds of each pass that the client spends beside coded layers.
        pause: Seconds between passes, in which what is late may end.

    Raises:
        FcdccError: SimPy is missing.
        NotEnoughWorkersError: Too few workers are left for a layer.
        PlanError: The numbers are impossible.
    """
    if find_spec("simpy") is None:
        raise FcdccError(
            "Simulations need SimPy. Received: no module named 'simpy'. Install it "
            "with: pip install 'fcdcc-keras[simulate]'"
        )
    import simpy

    loads = [
        Load.of(layer.path, layer.geometry, layer.code, layer.cost, device)
        for layer in plan.layers
    ]
    _check(plan, loads, passes, redundancy, between, pause)
    env = simpy.Environment()
    pace = slowness(straggling or NoStraggling(), slowed or {}, plan.workers, seed)
    network = Network(
        env,
        plan.workers,
        bandwidth=device.bandwidth,
        worker_bandwidth=device.worker_bandwidth,
        latency=device.latency,
    )
    cluster = Cluster(plan.workers, pace, deaths)
    session = Session(env, cluster, network, loads, redundancy)
    session.run(passes, between, pause, deaths)
    tally = session.tally
    return Simulation(
        workers=plan.workers,
        redundancy=redundancy,
        seed=seed,
        latencies=tuple(session.latencies),
        layers=mean_times(session.times),
        subtasks=tally.subtasks,
        used=tally.used,
        late=tally.late,
        lost=tally.lost,
        bytes_sent=tally.bytes_sent,
        bytes_received=tally.bytes_received,
        bytes_placed=tally.bytes_placed,
        events=session.events,
    )


def _check(
    plan: Plan | Sketch,
    loads: Sequence[Load],
    passes: int,
    redundancy: str,
    between: float,
    pause: float,
) -> None:
    """Checks what does not check itself.

    Raises:
        PlanError: The numbers are impossible.
    """
    if not loads:
        raise PlanError(
            "A plan must have layers of known sizes to be simulated. Received: one "
            "without. Plan a model whose inputs have a fixed height and width."
        )
    if redundancy not in ("eager", "hedged", "speculative"):
        raise PlanError(
            "`redundancy` must be 'eager', 'hedged' or 'speculative'. Received: "
            f"redundancy={redundancy!r}. Choose one of these."
        )
    coded = [load for load in loads if load.threshold < plan.workers]
    if redundancy == "speculative" and coded:
        raise PlanError(
            "Copies of late parts are launched where every part is needed. Received: "
            f"redundancy='speculative', and layer {coded[0].path!r} which needs "
            f"{coded[0].threshold} of {plan.workers}. Use code='uncoded' and "
            "stragglers=0."
        )
    if not (passes >= 1 and between >= 0 and pause >= 0):
        raise PlanError(
            "There must be a pass or more, and no negative time. Received: "
            f"passes={passes}, between={between}, pause={pause}. Correct these."
        )

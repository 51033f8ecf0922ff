"""``simulate``: passes of a planned model, over workers that nobody need have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import get_args

from fcdcc_keras.codes import Replication
from fcdcc_keras.errors import FcdccError, PlanError
from fcdcc_keras.planning import Calibration, LayerPlan, Plan
from fcdcc_keras.planning.layer_time import loads
from fcdcc_keras.planning.stragglers import NoStraggling, Straggling
from fcdcc_keras.simulation.chains import Chains, exchanged
from fcdcc_keras.simulation.cluster import Death, machines
from fcdcc_keras.simulation.driver import Passes, Step
from fcdcc_keras.simulation.layers import Layer, Redundancy
from fcdcc_keras.simulation.links import Network
from fcdcc_keras.simulation.results import Simulation, mean_times
from fcdcc_keras.simulation.sketch import Sketch, SketchedLayer
from fcdcc_keras.simulation.slowness import slowness


def simulate(
    plan: Plan | Sketch,
    device: Calibration | None = None,
    straggling: Straggling | None = None,
    *,
    passes: int = 20,
    seed: int = 0,
    redundancy: Redundancy | None = None,
    slowed: Mapping[int, float] | None = None,
    deaths: Sequence[Death] = (),
    between: float | None = None,
    pause: float = 0.0,
) -> Simulation:
    """Simulates passes of a planned model, of one image of float32 each.

    Args:
        plan: What ``fk.plan`` or ``sketch`` returned.
        device: Figures of the workers, their links and the client: measured by
            ``fk.calibrate``, or of ``planning.devices``; default: those that the plan
            was made by.
        straggling: Law of the slowdown of subtasks; default: the plan's, or none.
        passes: How many, one after another.
        seed: Of all chances: the same gives the same result.
        redundancy: "eager", "hedged" (as ``fk.distribute``), or "speculative": of an
            uncoded plan, late parts are copied to other workers. Default: as each
            layer is planned.
        slowed: Besides: how many times slower some workers are all the time, by
            index; infinity stops one.
        deaths: Workers that die on the way.
        between: Seconds of each pass that the client spends beside coded layers;
            default: what is known of that by the plan.
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

    device = device or plan.calibration
    if device is None:
        raise PlanError(
            "A simulation needs the figures of devices. Received: device=None, and a "
            "plan that was made without. Pass what `fk.calibrate(cluster)` returns, or "
            "one of `planning.devices`."
        )
    chains = _chains(plan, redundancy, device) if isinstance(plan, Plan) else []
    if between is None:
        between = 0.0 if plan.client is None else plan.client.seconds(device)
        between += _own_chains(plan) if isinstance(plan, Plan) else 0.0
    layers = [_layer(layer, redundancy, device) for layer in plan.layers]
    _check(plan.workers, layers, chains, redundancy, passes, between, pause)
    env = simpy.Environment()
    law = straggling or plan.straggling or NoStraggling()
    network = Network(
        env,
        plan.workers,
        bandwidth=device.bandwidth,
        worker_bandwidth=device.worker_bandwidth,
        latency=device.latency,
    )
    pace = slowness(law, slowed or {}, plan.workers, seed)
    workers = machines(plan.workers, pace, deaths)
    steps: list[Step] = [*layers, *chains]
    made = Passes(env, simpy.Resource(env), workers, network, steps)
    made.run(passes, between, pause, deaths)
    return Simulation(
        workers=plan.workers,
        redundancy=redundancy or "as planned",
        seed=seed,
        latencies=tuple(made.latencies),
        layers=mean_times(made.times),
        **asdict(made.tally),
        events=made.events,
    )


def _layer(
    layer: LayerPlan | SketchedLayer, redundancy: Redundancy | None, device: Calibration
) -> Layer:
    how = redundancy or ("hedged" if layer.hedged else "eager")
    bands = loads(layer.geometry, layer.code, device, hedged=how == "hedged")
    return Layer(layer.path, layer.code, device.message, bands, how)


def _chains(
    plan: Plan, redundancy: Redundancy | None, device: Calibration
) -> list[Chains]:
    """Returns the chains of a plan that workers compute, those together that are so."""
    found = []
    for stretch in plan.stretches:
        for numbers in stretch.runs:
            chains = tuple(stretch.chains[number] for number in numbers)
            first, path = chains[0], f"{stretch.entry} … {chains[-1].to}"
            if first.place != "workers":
                continue
            if first.exchange:
                chains = (exchanged(chains, device),)
            hedged = first.hedged if redundancy is None else redundancy != "eager"
            found.append(Chains(path, chains, device, hedged, plan.stragglers))
    return found


def _own_chains(plan: Plan) -> float:
    """Returns the seconds of the chains that the client computes."""
    chains = [chain for stretch in plan.stretches for chain in stretch.chains]
    mine = [chain.latency for chain in chains if chain.place == "client"]
    return math.fsum(latency.usual for latency in mine if latency is not None)


def _check(
    workers: int,
    layers: Sequence[Layer],
    chains: Sequence[Chains],
    redundancy: Redundancy | None,
    passes: int,
    between: float,
    pause: float,
) -> None:
    """Checks what does not check itself.

    Raises:
        PlanError: The numbers are impossible.
    """
    if not layers and not chains:
        raise PlanError(
            "A plan must have layers of known sizes to be simulated. Received: one "
            "without. Plan a model whose inputs have a fixed height and width."
        )
    if redundancy not in (None, *get_args(Redundancy)):
        raise PlanError(
            "`redundancy` must be 'eager', 'hedged' or 'speculative'. Received: "
            f"redundancy={redundancy!r}. Choose one of these."
        )
    for layer in layers:
        if isinstance(layer.code, Replication):
            raise PlanError(
                "Codes can be simulated of which any δ answers suffice. Received: "
                f"{layer.code} in layer {layer.path!r}. Use code='auto' or another one."
            )
    coded = [layer for layer in layers if layer.code.recovery_threshold < workers]
    if redundancy == "speculative" and coded:
        raise PlanError(
            "Copies of late parts are launched where every part is needed. Received: "
            f"redundancy='speculative', and layer {coded[0].path!r} which needs "
            f"{coded[0].code.recovery_threshold} of {workers}. Use code='uncoded' and "
            "stragglers=0."
        )
    if not (passes >= 1 and between >= 0 and pause >= 0):
        raise PlanError(
            "There must be a pass or more, and no negative time. Received: "
            f"passes={passes}, between={between}, pause={pause}. Correct these."
        )

"""What a coded layer costs beyond its convolution, beside Dask's ways and the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.figures.anatomy import convolution_seconds
from benchmarks.figures.estimate import median, ratio
from benchmarks.figures.figure import Outcome
from benchmarks.figures.idle_layer import LARGE, SMALL, IdleLayer, OwnTime, waves
from benchmarks.figures.interleave import interleave
from benchmarks.figures.run import Run
from benchmarks.figures.sockets import SocketPeers
from benchmarks.figures.worker_side import Echo
from fcdcc_keras.worker.weights import Weights

if TYPE_CHECKING:
    from distributed import Client

WORKERS = 8
_WARM_UP = 10
_CALLS = 200
"""In a round, where each alone says little."""
_OVER_RPC = 1.5
"""Largest ratio to empty rpc calls that is allowed."""


def fixed_direct(run: Run) -> Outcome:
    """Measures ``layer_fixed_ms_direct``."""
    rounds = run.rounds(100, _WARM_UP)
    client = run.loopback(WORKERS)
    with (
        IdleLayer(client, WORKERS, SMALL) as layer,
        SocketPeers(WORKERS, layer.payload, layer.payload) as streams,
        SocketPeers(WORKERS, layer.payload, layer.payload, "calls") as calls,
    ):
        samples = interleave(
            {
                "layer": layer.transport,
                "empty_rpc": _empty_rpc(client, layer.addresses),
                "actors": _actors(client, layer),
                "sockets": streams.exchange,
                "socket_calls": calls.exchange,
                "convolution": OwnTime(client, layer),
            },
            rounds,
            warm_up=_WARM_UP,
            step=run.step,
        )
    beyond = median(_beyond(samples))
    over_rpc = ratio(_beyond(samples), samples["empty_rpc"])
    parts = {
        "over_empty_rpc": {**over_rpc.to_json(), "limit": _OVER_RPC},
        **_parts(samples, layer, rounds),
    }
    return Outcome(beyond.scaled(1e3), rounds, layer.client_convolutions, parts)


def large_over_sockets(run: Run) -> Outcome:
    """Measures ``layer_1mb_over_sockets``."""
    rounds = run.rounds(40, _WARM_UP)
    client = run.loopback(WORKERS)
    with (
        IdleLayer(client, WORKERS, LARGE) as layer,
        SocketPeers(WORKERS, layer.payload, layer.payload) as streams,
        SocketPeers(WORKERS, layer.payload, layer.payload, "calls") as calls,
    ):
        samples = interleave(
            {
                "layer": layer.transport,
                "actors": _actors(client, layer),
                "sockets": streams.exchange,
                "socket_calls": calls.exchange,
                "convolution": OwnTime(client, layer),
            },
            rounds,
            warm_up=_WARM_UP,
            step=run.step,
        )
    parts = {
        "with_convolution": ratio(samples["layer"], samples["sockets"]).to_json(),
        "over_socket_calls": ratio(_beyond(samples), samples["socket_calls"]).to_json(),
        **_parts(samples, layer, rounds),
    }
    estimate = ratio(_beyond(samples), samples["sockets"])
    return Outcome(estimate, rounds, layer.client_convolutions, parts)


def tasks_over_submit(run: Run) -> Outcome:
    """Measures ``layer_tasks_over_submit``."""
    rounds = run.rounds(40, _WARM_UP)
    client = run.loopback(WORKERS)
    with IdleLayer(client, WORKERS, SMALL, "tasks") as layer:
        samples = interleave(
            {"layer": layer.transport, "submit": _submit(client, layer)},
            rounds,
            warm_up=_WARM_UP,
            step=run.step,
        )
    estimate = ratio(samples["layer"], samples["submit"])
    parts = _parts(samples, layer, rounds)
    return Outcome(estimate, rounds, layer.client_convolutions, parts)


def monitoring_over_off(run: Run) -> Outcome:
    """Measures ``monitoring_over_off``.

    Of many calls each time, for messages are sent twice a second.
    """
    rounds = run.rounds(31)
    client = run.loopback(WORKERS)
    with (
        IdleLayer(client, WORKERS, SMALL) as counted,
        IdleLayer(client, WORKERS, SMALL, monitored=False) as silent,
    ):
        layers = {"counted": counted, "silent": silent}
        busy: dict[str, list[float]] = {name: [] for name in layers}

        def call(name: str) -> None:
            began = time.process_time()
            for _ in range(_CALLS):
                layers[name].whole()
            busy[name].append(time.process_time() - began)

        turns = {name: partial(call, name) for name in layers}
        samples = interleave(turns, rounds, step=run.step)
    busy = {name: seconds[-rounds:] for name, seconds in busy.items()}  # but warming up
    parts = {"processor": ratio(busy["counted"], busy["silent"]).to_json()}
    for what, taken in {"ms": samples, "processor_ms": busy}.items():
        for name, seconds in taken.items():
            a_call = median(seconds).scaled(1e3 / _CALLS)
            parts[f"{name}_{what}"] = a_call.to_json()
    value = ratio(samples["counted"], samples["silent"])
    local = counted.client_convolutions + silent.client_convolutions
    return Outcome(value, rounds, local, parts)


def _beyond(samples: Mapping[str, Sequence[float]]) -> list[float]:
    """Returns each round's time of the layer less that of its convolutions.

    Not the times that workers report: with eight of them on few cores, these hold
    what the machine did meanwhile for the others.
    """
    share = waves(WORKERS) * float(np.median(samples["convolution"]))
    return [seconds - share for seconds in samples["layer"]]


def _empty_rpc(client: Client, addresses: Sequence[str]) -> Callable[[], None]:
    async def ask() -> None:
        await asyncio.gather(*(client.rpc(a).echo(data=1) for a in addresses))

    return lambda: client.sync(ask)


def _actors(client: Client, layer: IdleLayer) -> Callable[[], None]:
    futures = [
        client.submit(Echo, actor=True, workers=[address], pure=False)
        for address in layer.addresses
    ]
    actors = [future.result() for future in futures]
    with client.as_current():
        for actor in actors:
            getattr(actor, Echo.answer.__name__)  # it asks for the current client now

    async def ask() -> None:
        await asyncio.gather(*(_answer(actor, layer.coded) for actor in actors))

    return lambda: client.sync(ask)


async def _answer(actor: Any, array: np.ndarray) -> Any:
    return await actor.answer(array)


def _submit(client: Client, layer: IdleLayer) -> Callable[[], None]:
    from distributed import as_completed

    shares = {
        address: client.scatter(Weights(layer.kernel), workers=[address], hash=False)
        for address in layer.addresses
    }

    def ask() -> None:
        futures = [
            client.submit(
                Weights.run,
                share,
                layer.coded,
                layer.program,
                workers=[address],
                pure=False,
            )
            for address, share in shares.items()
        ]
        for _ in as_completed(futures, loop=client.loop, with_results=True):
            pass

    return ask


def _parts(
    samples: Mapping[str, Sequence[float]], layer: IdleLayer, rounds: int
) -> dict[str, Any]:
    records = layer.records[-rounds:]
    inside = {
        "encode": [r.encode for r in records],
        "decode": [r.decode for r in records],
        # By the trace: until the last input was handed over, and the worker's own.
        "until_sent": [
            max(t.sent - r.started for t in r.subtasks if t.sent is not None)
            for r in records
        ],
        "convolution_as_reported": [
            float(np.median(convolution_seconds(r))) for r in records
        ],
    }
    return {
        "bytes_each_way": layer.payload,
        **{
            f"{name}_ms": median(seconds).scaled(1e3).to_json()
            for name, seconds in {**samples, **inside}.items()
        },
    }

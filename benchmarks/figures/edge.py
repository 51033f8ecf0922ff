"""Six weak devices, emulated: over one of them, and over other ways to redundancy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from benchmarks.figures.anatomy import Watched
from benchmarks.figures.edge_device import KERAS, LIGHT
from benchmarks.figures.estimate import median, ratio
from benchmarks.figures.figure import Outcome
from benchmarks.figures.interleave import interleave
from benchmarks.figures.lab import Remote, lone, weak_devices
from benchmarks.figures.models import build, random_images
from benchmarks.figures.run import Run
from benchmarks.figures.speculation import SpeculativeExecutor

WORKERS = 6
STRAGGLERS = 2
SLOW = 10.0
"""Times that a slowed device is slower."""
_WARM_UP = 3


@dataclass(frozen=True)
class _Lab:
    """A lab of six workers, and a seventh device that has the baseline to itself."""

    lab: Any
    alone: Callable[[str], float]
    """Predicts on the seventh device, by plain Keras or by the light engine; returns
    the seconds by its own clock."""


def speedup(run: Run) -> Outcome:
    """Measures ``edge_speedup``."""
    return _over_one_device(run, stopped=0)


def speedup_two_stopped(run: Run) -> Outcome:
    """Measures ``edge_speedup_two_stopped``."""
    return _over_one_device(run, stopped=2)


def over_speculation(run: Run) -> Outcome:
    """Measures ``edge_over_speculation``."""
    from fcdcc_keras.execution.executors.connect import connect
    from fcdcc_keras.execution.executors.dask import DaskExecutor

    def speculative(address: str) -> tuple[Any, Callable[[], dict[str, Any]]]:
        import fcdcc_keras as fk

        executor, cleanup = connect(address, WORKERS, 0, "direct")
        assert isinstance(executor, DaskExecutor)
        peer = SpeculativeExecutor(executor)
        model = fk.distribute(build("VGG16"), peer, stragglers=0, code="uncoded")

        def close() -> dict[str, Any]:
            fk.close(model)
            cleanup()
            return {"copies": peer.copies}

        return model, close

    return _under_a_slow_device(run, "speculation", speculative)


def over_replication(run: Run) -> Outcome:
    """Measures ``edge_over_replication``."""

    def replicated(address: str) -> tuple[Any, Callable[[], dict[str, Any]]]:
        import fcdcc_keras as fk

        model = fk.distribute(
            build("VGG16"), address, workers=WORKERS, stragglers=1, code="replication"
        )

        def close() -> dict[str, Any]:
            fk.close(model)
            return {}

        return model, close

    return _under_a_slow_device(run, "replication", replicated)


def _over_one_device(run: Run, stopped: int) -> Outcome:
    import fcdcc_keras as fk

    rounds = run.rounds(11, _WARM_UP)
    shared = _shared(run)
    coded = _distribute(shared)
    with fk.closing(coded), _stopped(shared.lab.devices[:stopped]):
        watched = Watched(coded, random_images(1))
        samples = interleave(
            {
                "coded": watched.turn,
                KERAS: lambda: shared.alone(KERAS),
                LIGHT: lambda: shared.alone(LIGHT),
            },
            rounds,
            warm_up=_WARM_UP,
            step=run.step,
        )
    return Outcome(
        ratio(samples[KERAS], samples["coded"]),
        rounds,
        watched.client_convolutions,
        {
            "one_device_ms": median(samples[KERAS]).scaled(1e3).to_json(),
            "one_light_device_ms": median(samples[LIGHT]).scaled(1e3).to_json(),
            "over_one_light_device": ratio(samples[LIGHT], samples["coded"]).to_json(),
            "coded_ms": median(samples["coded"]).scaled(1e3).to_json(),
            **watched.parts(samples["coded"]),
        },
    )


def _under_a_slow_device(
    run: Run,
    name: str,
    make: Callable[[str], tuple[Any, Callable[[], dict[str, Any]]]],
) -> Outcome:
    import fcdcc_keras as fk

    rounds = run.rounds(11, _WARM_UP)
    lab = _shared(run).lab
    coded = _distribute(_shared(run))
    with fk.closing(coded):
        peer, close = make(lab.scheduler_address)
        watched = {
            "coded": Watched(coded, random_images(1)),
            name: Watched(peer, random_images(1)),
        }
        with _slowed(lab.devices[0]):
            samples = interleave(
                # One after the other: what the slow device still owes to one must
                # not make the other wait.
                {key: _after_rest(each.turn) for key, each in watched.items()},
                rounds,
                warm_up=_WARM_UP,
                step=run.step,
            )
        further = close()
    return Outcome(
        ratio(samples[name], samples["coded"]),
        rounds,
        watched["coded"].client_convolutions,
        {
            **{
                key: {
                    "ms": median(samples[key]).scaled(1e3).to_json(),
                    **each.parts(samples[key]),
                }
                for key, each in watched.items()
            },
            **further,
        },
    )


def _after_rest(turn: Callable[[], None]) -> Callable[[], float]:
    def rested() -> float:
        time.sleep(1.0)
        start = time.perf_counter()
        turn()
        return time.perf_counter() - start

    return rested


def _distribute(shared: _Lab) -> Any:
    import fcdcc_keras as fk

    return fk.distribute(
        build("VGG16"),
        shared.lab.scheduler_address,
        workers=WORKERS,
        stragglers=STRAGGLERS,
        code="crme",
    )


def _shared(run: Run) -> _Lab:
    lab: _Lab = run.shared("edge lab", _bring_up)
    return lab


@contextmanager
def _bring_up() -> Iterator[_Lab]:
    with weak_devices(WORKERS + 1) as lab:
        with Remote(lone(lab)) as alone:
            alone.prepare("load", application="VGG16", batch=1)
            for way in (KERAS, LIGHT):
                alone.prepare("make", name=way, way=way)
            yield _Lab(lab, lambda way: float(alone.ask("turn", name=way)["seconds"]))


@contextmanager
def _stopped(devices: Any) -> Iterator[None]:
    try:
        for device in devices:
            device.stop()
        yield
    finally:
        for device in devices:
            device.resume()


@contextmanager
def _slowed(device: Any) -> Iterator[None]:
    device.slow(SLOW)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):  # the lab has ended meanwhile
            device.slow(1)

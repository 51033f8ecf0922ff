"""Findings of a cluster that is well, to be made ill."""

from dataclasses import replace

from fcdcc_keras.doctor.findings import (
    Findings,
    InUse,
    MeasuredWay,
    SchedulerFound,
    Software,
    Speed,
    Touch,
    WorkerFound,
)

OPEN = Touch("open", 1e-4)
PACKAGES = {
    "dask": "2026.8.0",
    "distributed": "2026.8.0",
    "numpy": "2.4.6",
    "fcdcc_keras": "0.1.0",
}
ENGINES = {"light": "2.3.0", "keras": "3.15.0", "tensorflow": "2.21.0"}
SOFTWARE = Software("3.11.7", PACKAGES, ENGINES, "head", 8e9)
SPEED = Speed(
    "light",
    call=2e-5,
    pairs=((0.025, 0.0251), (0.003, 0.0031), (0.004, 0.016)),
)
"""Of which a convolution of 28² positions, 128 channels to 128, takes 4 ms."""


def worker(number, **changes):
    """Returns a worker that is well, but for the changes."""
    machine = f"board{number}"
    well = WorkerFound(
        _address(number),
        name=f"kitchen{number}",
        host=f"192.168.1.{number + 10}",
        memory=InUse(130e6, 2e9),
        by_client=OPEN,
        answers_client=True,
        by_scheduler=OPEN,
        answers_scheduler=True,
        to_scheduler=OPEN,
        software=replace(SOFTWARE, machine=machine),
        clock=0.01,
        doubt=0.002,
        link=MeasuredWay(1e-3, 5e7),
        speed=SPEED,
        to_workers={_address(n): OPEN for n in range(4) if n != number},
        halo=1e-3,
    )
    return replace(well, **changes)


def _address(number):
    return f"tcp://192.168.1.{number + 10}:40000"


def findings(*changes, **others):
    """Returns those of a cluster of four workers, the first ones with changes."""
    workers = [worker(n, **dict(enumerate(changes)).get(n, {})) for n in range(4)]
    well = Findings(
        "tcp://192.168.1.1:8786",
        SOFTWARE,
        SchedulerFound(
            "scheduler", software=SOFTWARE, clock=0.0, link=MeasuredWay(1e-3, 1e8)
        ),
        least={"light": "2.1", "tensorflow": "2.18"},
        workers=tuple(workers),
        together=1e8,
        round_trips=2e-3,
    )
    return replace(well, **others)


def runs(**changes):
    """Returns software but for changes; packages by their names."""
    own = {k: v for k, v in changes.items() if k in Software.__dataclass_fields__}
    packages = {k: v for k, v in changes.items() if k not in own}
    return replace(SOFTWARE, **{"packages": {**PACKAGES, **packages}, **own})

"""Scripted records: what became of subtasks is known."""

from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.execution.records import LayerRecord, UnderWay


def share(worker: int, outcome: str, *times: float | None, **more) -> SubtaskRecord:
    """A share with its times: sent, started, finished, received."""
    more = {"bytes_sent": 100, "bytes_received": 10} | more
    return SubtaskRecord(worker, f"tcp://w{worker}:1", outcome, *times, **more)


def layer(name: str, call: int, *shares: SubtaskRecord, **more) -> LayerRecord:
    times = {"encode": 0.25, "collect": 2.0, "decode": 0.5, "transport": "direct"}
    return LayerRecord(name, call, 1000.0 + call, subtasks=shares, **(times | more))


def owing() -> SubtaskRecord:
    return share(3, "late", 1001.25, None, None, None, bytes_received=0)


def records() -> list[LayerRecord]:
    """Of one call each fate, and one that the client had to compute."""
    return [
        layer(
            *("conv", 1),
            share(0, "used", 1001.25, 1001.5, 1002.0, 1002.25),
            share(1, "used", 1001.25, 1001.5, 1002.5, 1003.25, redistributed=True),
            share(2, "late", 1001.25, 1001.5, 1003.5, 1004.25),
            owing(),
            share(4, "late", 1001.25, 1001.5, 1009.5, 1009.75),
            share(5, "failed", None, None, None, 1001.25, bytes_received=0),
            share(6, "skipped", bytes_sent=0, bytes_received=0),
        ),
        layer("conv", 2, collect=1.0, convolve=0.5, local="too few workers"),
    ]


def going() -> UnderWay:
    """One of which an answer has come, and two are missing."""
    return UnderWay(
        "conv",
        1010.0,
        (
            share(0, "used", 1006.0, 1006.5, 1007.0, 1007.5),
            share(1, "late", 1006.0, None, None, None, bytes_received=0),
            share(2, "late", 1008.0, None, None, None, redistributed=True),
        ),
    )


FATES = ["used", "redistributed", "redundant", "late", "late", "failed"]
"""Of those that were sent, or would have been."""

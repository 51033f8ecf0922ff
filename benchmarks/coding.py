"""What coding costs the client: encode, and decode with merging, for VGG16.

Prints JSON. Every figure is of one pass over the 13 convolutions at 224×224, without
workers, convolutions or sending: the results to decode are random numbers. `value` is
the median over interleaved rounds, `spread` the interquartile range. `over_memcpy` is
the time of encoding and decoding over that of a plain copy that reads and writes as
many bytes: input + sent + received + output.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import click
import numpy as np

from fcdcc_keras.coding.codec import LayerCodec
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import LayerPlan, plan_layer

_VGG16 = [
    *[(224, 3, 64), (224, 64, 64)],
    *[(112, 64, 128), (112, 128, 128)],
    *[(56, 128, 256), (56, 256, 256), (56, 256, 256)],
    *[(28, 256, 512), (28, 512, 512), (28, 512, 512)],
    *[(14, 512, 512), (14, 512, 512), (14, 512, 512)],
]
_CASES = [
    # name, code, n, δ, whether the first δ workers answer or the last
    ("crme n=2 δ=2", "crme", 2, 2, "last"),
    ("crme n=6 δ=4", "crme", 6, 4, "last"),
    ("systematic n=6 δ=4, none missing", "systematic", 6, 4, "first"),
    ("systematic n=6 δ=4, two missing", "systematic", 6, 4, "last"),
    ("auto n=6 δ=4", "auto", 6, 4, "last"),
]


class MemoryUse:
    """Hands out arrays of random numbers that are not in the cache any more."""

    def __init__(self, size: int) -> None:
        self._numbers = np.random.default_rng(0).standard_normal(size, np.float32)
        self._next = 0

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        size = math.prod(shape)
        if self._next + size > self._numbers.size:
            self._next = 0
        array = self._numbers[self._next : self._next + size].reshape(shape)
        self._next += -(-size // 16) * 16  # 64 bytes, as TensorFlow aligns
        return array


def plans(code: str, workers: int, threshold: int) -> list[LayerPlan]:
    """Plans VGG16's convolutions."""
    return [
        plan_layer(
            "conv",
            ConvGeometry((size, size), channels, filters, (3, 3), padding="same"),
            workers=workers,
            stragglers=workers - threshold,
            code=code,
        )
        for size, channels, filters in _VGG16
    ]


def one_pass(
    layers: list[LayerPlan], batch: int, answering: str, memory: MemoryUse
) -> dict[str, float]:
    """Encodes and decodes every layer once; returns the seconds of each."""
    times: dict[str, float] = defaultdict(float)

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        times[name] += time.perf_counter() - start
        return result

    for layer in layers:
        code, size = layer.code, (*layer.geometry.input_size, layer.geometry.channels)
        inputs = memory.take((batch, *size))
        make = partial(LayerCodec, code, layer.geometry, inputs)
        stages = timed("encode", make)
        sent = timed("encode", lambda s=stages, n=code.workers: s.encode(range(n)))
        moved = inputs.nbytes + sum(coded.nbytes for coded in sent)
        del sent
        first = 0 if answering == "first" else code.stragglers
        survivors = tuple(range(first, first + code.recovery_threshold))
        results = [memory.take(stages.result_shape) for _ in survivors]
        outputs = timed("decode", partial(stages.decode, survivors, results))
        moved += outputs.nbytes + sum(result.nbytes for result in results)
        del outputs
        source = memory.take((moved // 8,))
        target = memory.take((moved // 8,))
        timed("memcpy", lambda s=source, t=target: np.copyto(t, s))
    times["both"] = times["encode"] + times["decode"]
    return times


@click.command()
@click.option("--rounds", default=15, show_default=True, help="Passes of batch 1.")
@click.option("--large-rounds", default=5, show_default=True, help="Of batch 16.")
@click.option("--only", default="", help="Part of the name of the cases to run.")
def main(rounds: int, large_rounds: int, only: str) -> None:
    """Measure encoding and decoding."""
    cases = [
        (plans(*case[1:4]), case[0], case[4]) for case in _CASES if only in case[0]
    ]
    figures = []
    for batch, count in ((1, rounds), (16, large_rounds)):
        memory = MemoryUse(100_000_000 if batch == 1 else 400_000_000)
        seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
        for round_ in range(count and count + 1):
            for layers, name, answering in cases:
                times = one_pass(layers, batch, answering, memory)
                if round_ == 0:
                    continue  # the first pass prepares decoders
                for part in ("encode", "decode", "both"):
                    seconds[name, part].append(times[part])
                seconds[name, "over_memcpy"].append(times["both"] / times["memcpy"])
        for (name, part), values in seconds.items():
            ratio = part == "over_memcpy"
            scale = 1.0 if ratio else 1e3
            low, median, high = statistics.quantiles(values, n=4)
            figures.append(
                {
                    "name": f"{name}, batch {batch}: {part}",
                    "value": round(scale * median, 3),
                    "unit": "1" if ratio else "ms",
                    "spread": round(scale * (high - low), 3),
                }
            )
    click.echo(json.dumps(figures, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()

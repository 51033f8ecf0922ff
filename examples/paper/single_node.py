"""Networks by plain Keras on one node: times for every line of standard input.

    python -m examples.paper.single_node

A line names a network and the side of its images, as "AlexNet 227". The answer is JSON:
the seconds of each convolutional layer by itself, by its name, and of a whole
prediction, as "whole". The first answers for a network count what is done but once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable


def main() -> None:
    """Computes networks whenever it is asked to; keeps the last one."""
    asked, turn = "", None
    for line in sys.stdin:
        if line != asked:
            asked, turn = line, load(*line.split())
        sys.stdout.write(json.dumps(turn()) + "\n")
        sys.stdout.flush()


def load(network: str, side: str) -> Callable[[], dict[str, float]]:
    """Returns what computes a network once, and returns the seconds it took."""
    import keras
    import numpy as np
    import tensorflow as tf

    from examples.paper.models import build, image

    model = build(network, int(side))
    batch = image(model)
    rng = np.random.default_rng(0)
    convolutions = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            x = tf.constant(rng.normal(size=(1, *layer.input.shape[1:])), tf.float32)
            arguments = x, tf.constant(layer.kernel.numpy())
            traced = tf.function(layer.convolution_op)
            convolutions[layer.name] = (
                traced.get_concrete_function(*arguments),
                arguments,
            )

    def turn() -> dict[str, float]:
        seconds = {}
        for name, (convolve, arguments) in convolutions.items():
            start = time.perf_counter()
            convolve(*arguments)
            seconds[name] = time.perf_counter() - start
        start = time.perf_counter()
        model.predict_on_batch(batch)
        seconds["whole"] = time.perf_counter() - start
        return seconds

    return turn


if __name__ == "__main__":
    main()

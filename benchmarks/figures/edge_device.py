"""VGG16 on one device: a time for every line of standard input.

    python -m benchmarks.figures.edge_device

Prints "ready" when it has predicted twice, by plain Keras and by the light engine, and
then the seconds of a prediction by what each line names.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

READY = "ready"
KERAS, LIGHT = "keras", "light"


def main() -> None:
    """Predicts whenever it is asked to."""
    from benchmarks.figures.models import build, random_images
    from fcdcc_keras.rewriting.programs import program_of_model
    from fcdcc_keras.worker.engines.light import LightEngine

    model, image = build("VGG16"), random_images(1)
    light = LightEngine().prepare(*program_of_model(model, [image.shape[1:3]]))
    ways: dict[str, Callable[[], object]] = {
        KERAS: lambda: model.predict_on_batch(image),
        LIGHT: lambda: light([image]),
    }
    for predict in 2 * list(ways.values()):
        predict()
    _say(READY)
    for line in sys.stdin:
        start = time.perf_counter()
        ways[line.strip()]()
        _say(str(time.perf_counter() - start))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""VGG16 by plain Keras on one device: a time for every line of standard input.

    python -m benchmarks.figures.edge_device

Prints "ready" when it has predicted once, and then the seconds of each prediction.
"""

from __future__ import annotations

import sys
import time

READY = "ready"


def main() -> None:
    """Predicts whenever it is asked to."""
    from benchmarks.figures.models import build, random_images

    model, image = build("VGG16"), random_images(1)
    for _ in range(2):
        model.predict_on_batch(image)
    _say(READY)
    while sys.stdin.readline():
        start = time.perf_counter()
        model.predict_on_batch(image)
        _say(str(time.perf_counter() - start))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

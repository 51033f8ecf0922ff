"""Scripts of faults: which worker is taken away, or given back, and when."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from fcdcc_keras.errors import FcdccError

Action = Literal["stop", "resume", "restart", "kill"]
SYNTAX = '"kill 2 at image 100; stop 0,3 at 40%; resume 3 at 80%"'
"""An example, for messages."""
_FAULT = re.compile(
    r"(stop|resume|restart|kill)\s+(\d+(?:\s*,\s*\d+)*)\s+at\s+"
    r"(?:image\s+(\d+)|(\d+(?:\.\d+)?)\s*%)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Fault:
    """One line of a script."""

    text: str
    """As it was written."""
    action: Action
    """"stop" a process and "resume" it, "restart" it, or "kill" it for good."""
    workers: tuple[int, ...]
    """Indices of the workers, from 0 to n − 1."""
    image: int | None
    """Images before it, or None: ``share`` says when."""
    share: float = 0.0
    """Part of the images before it."""

    def due(self, images: int) -> int:
        """Returns after how many of the images it happens."""
        return math.floor(self.share * images) if self.image is None else self.image


def parse(script: str) -> tuple[Fault, ...]:
    """Returns the faults of a script, in its order.

    Args:
        script: Faults with semicolons or line ends between them, each an action,
            workers and "at image I" or "at P%"; after "#" a line is a comment.

    Raises:
        FcdccError: A line is none.
    """
    lines = [line.partition("#")[0] for line in script.splitlines()]
    parts = [part.strip() for line in lines for part in line.split(";")]
    return tuple(_fault(part) for part in parts if part)


def _fault(text: str) -> Fault:
    found = _FAULT.fullmatch(text)
    if found is None:
        raise FcdccError(
            "A fault must be stop, resume, restart or kill, the numbers of workers, "
            f"and 'at image I' or 'at P%'. Received: {text!r}. Write for example "
            f"{SYNTAX}."
        )
    action, workers, image, percent = found.groups()
    return Fault(
        text=text,
        action=cast("Action", action.lower()),
        workers=tuple(int(worker) for worker in workers.split(",")),
        image=None if image is None else int(image),
        share=float(percent or 0) / 100,
    )


def schedule(faults: Sequence[Fault], workers: int, images: int) -> list[Fault]:
    """Returns faults in the order in which they happen, after checking them.

    Args:
        faults: What ``parse`` gave.
        workers: n.
        images: How many images are predicted.

    Raises:
        FcdccError: A fault cannot happen.
    """
    ordered = sorted(faults, key=lambda fault: fault.due(images))
    gone: set[int] = set()
    for fault in ordered:
        if fault.due(images) >= images:
            raise FcdccError(
                f"A fault must happen before the last image. Received: {fault.text!r} "
                f"with {images} images. Let it happen earlier."
            )
        for worker in fault.workers:
            if worker >= workers:
                raise FcdccError(
                    f"Workers are numbered from 0 to {workers - 1}. Received: "
                    f"{fault.text!r}. Name one of them, or use more `--workers`."
                )
            if worker in gone:
                raise FcdccError(
                    "A worker that was killed or restarted takes no more faults. "
                    f"Received: {fault.text!r}. Name another worker."
                )
        if fault.action in ("kill", "restart"):
            gone.update(fault.workers)
    return ordered

"""What runs on a device of the edge lab: models in several ways, as it is told.

    python -m benchmarks.figures.edge_device [SCHEDULER]

Each line of standard input is a JSON object, whose "do" names a method of
``Contenders`` and whose other fields are its arguments; what that returns is a line of
output. See ``lab.Remote``, which is the other end.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.figures.anatomy import Watched

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from distributed import Future

KERAS, LIGHT = "keras", "light"
"""The whole model on one device: by plain Keras, or as one program of the light
engine."""
PLANNED, SPECULATION, MAP = "planned", "speculation", "map"
"""On the workers: by ``fk.distribute``; an uncoded split of every convolution, with
speculative copies; whole images by ``client.map``, by the workers' own engine."""


class Contenders:
    """Ways in which one model predicts, by name."""

    def __init__(self, scheduler: str | None) -> None:
        """Takes the scheduler's address, for those that need workers."""
        self._scheduler = scheduler
        self._closing = ExitStack()
        self._watched: dict[str, Watched] = {}
        self._turns: dict[str, Callable[[], Any]] = {}

    def load(self, application: str, batch: int) -> None:
        """Builds the model that all further calls are about, and its images."""
        from benchmarks.figures.models import build, random_images

        self.drop()
        self._model = build(application)
        self._images = random_images(batch, self._model.input_shape[1:])
        self._right = self._model.predict_on_batch(self._images)

    def calibrate(self, stragglers: int) -> dict[str, Any]:
        """Measures the cluster, as ``fk.calibrate`` does."""
        import fcdcc_keras as fk

        return fk.calibrate(self._scheduler, stragglers=stragglers).to_dict()

    def make(
        self, name: str, way: str, options: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Has the model predict in one way more, twice at once.

        Args:
            name: What ``turn`` calls it.
            way: One of the constants above.
            options: What the way takes.

        Returns:
            The "deviation" of its outputs from plain Keras's, over their largest; and
            what else there is to be said of it.
        """
        make = getattr(self, f"_{way}")
        said = make(name, **(options or {})) or {}
        self._turns[name]()
        off = np.abs(self._turns[name]() - self._right).max()
        return {"deviation": float(off / np.abs(self._right).max()), **said}

    def turn(self, name: str) -> dict[str, Any]:
        """Predicts, and says how long that took and what became of the subtasks."""
        start = time.perf_counter()
        self._turns[name]()
        seconds = time.perf_counter() - start
        if name not in self._watched:
            return {"seconds": seconds}
        records = self._watched[name].passes[-1]
        tasks = [task for record in records for task in record.subtasks]
        return {
            "seconds": seconds,
            "local": sum(record.local is not None for record in records),
            "sent": sum(task.bytes_sent for task in tasks),
            "received": sum(task.bytes_received for task in tasks),
            "workers": sorted({t.address for t in tasks if t.outcome == "used"}),
        }

    def parts(self, name: str, seconds: list[float]) -> dict[str, Any]:
        """Returns where the time of the last passes went; see ``Watched.parts``."""
        watched = self._watched.get(name)
        if watched is None or not watched.passes[-1]:
            return {}
        return watched.parts(seconds)

    def drop(self) -> None:
        """Lets go of all that was made."""
        self._closing.close()
        self._turns.clear()
        self._watched.clear()

    def _keras(self, name: str) -> None:
        self._turns[name] = lambda: self._model.predict_on_batch(self._images)

    def _light(self, name: str) -> None:
        from fcdcc_keras.worker.engines.choice import engine_for

        program, arrays = self._program()
        prepared = engine_for(program, "light").prepare(program, arrays)
        self._turns[name] = lambda: prepared([self._images])

    def _planned(
        self, name: str, calibration: Mapping[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        import fcdcc_keras as fk
        from fcdcc_keras.planning import Calibration

        known = None if calibration is None else Calibration.from_dict(calibration)
        plan = fk.plan(self._model, calibration=known, **options)
        self._distribute(name, self._scheduler, plan=plan)
        expected = plan.latency and plan.latency.expected
        return {"expected": expected, "plan": json.loads(plan.to_json())}

    def _speculation(self, name: str, workers: int) -> None:
        from benchmarks.figures.speculation import SpeculativeExecutor
        from fcdcc_keras.execution.executors.connect import connect
        from fcdcc_keras.execution.executors.dask import DaskExecutor

        executor, cleanup = connect(self._scheduler, workers, 0, "direct")
        self._closing.callback(cleanup)
        assert isinstance(executor, DaskExecutor)
        peer = SpeculativeExecutor(executor)
        self._distribute(name, peer, stragglers=0, code="uncoded")

    def _map(self, name: str, workers: int) -> None:
        from distributed import Client

        from benchmarks.figures.worker_side import ComputeWhole

        client = self._closing.enter_context(
            Client(self._scheduler, set_as_default=False)
        )
        parts = np.array_split(self._images, min(workers, len(self._images)))
        whole, held = ComputeWhole(*self._program()), dict[str, Any]()

        def ask(address: str, part: np.ndarray) -> Future[np.ndarray]:
            future: Future[np.ndarray] = client.submit(
                ComputeWhole.__call__,
                held[address],
                part,
                workers=address,
                pure=False,
            )
            return future

        for address, part in zip(sorted(client.nthreads()), parts, strict=False):
            held[address] = client.scatter(
                whole, workers=[address], direct=True, hash=False
            )
            # One after the other: getting ready takes more memory than being so.
            ask(address, part).result()

        def predict() -> np.ndarray:
            return np.concatenate(client.gather(list(map(ask, held, parts))))

        self._turns[name] = predict

    def _distribute(self, name: str, cluster: Any, **options: Any) -> None:
        import fcdcc_keras as fk

        made = fk.distribute(self._model, cluster, fallback="raise", **options)
        try:
            fk.trace(made)
        except fk.PlanError:  # nothing of it is distributed, since nothing pays
            self._turns[name] = lambda: made.predict_on_batch(self._images)
            return
        self._closing.callback(fk.close, made)
        self._watched[name] = Watched(made, self._images)
        self._turns[name] = self._watched[name].predict

    def _program(self) -> Any:
        from fcdcc_keras.rewriting.graph.programs import program_of_model

        return program_of_model(self._model, [self._images.shape[1:-1]])


def obey(target: Any) -> None:
    """Has an object do what standard input says, until that ends."""
    # What anybody prints must not be taken for an answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        said = json.loads(line)
        answer = getattr(target, said.pop("do"))(**said)
        answers.write(f"{json.dumps(answer)}\n")
        answers.flush()


if __name__ == "__main__":
    obey(Contenders(sys.argv[1] if sys.argv[1:] else None))

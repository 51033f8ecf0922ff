"""The figures: their names, what is asked of them, and where they are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from benchmarks.figures.figure import Figure, Goal, Outcome
from benchmarks.figures.home import FIGURES as HOME
from benchmarks.figures.run import Run
from fcdcc_keras.errors import FcdccError


@dataclass(frozen=True)
class Entry:
    """A figure that can be measured."""

    goal: Goal
    home: str
    """Module and function that measure it: ``module:function``."""
    arguments: tuple[Any, ...] = ()
    """What the function is given besides the run."""

    @property
    def family(self) -> str:
        """Module that measures it, and others like it."""
        return self.home.partition(":")[0]

    @property
    def needs_lab(self) -> bool:
        """Whether it is measured on emulated devices."""
        return self.family in ("edge", "home")

    def load(self) -> Callable[..., Outcome]:
        """Returns the function that measures it."""
        function: Callable[..., Outcome] = getattr(
            import_module(f"benchmarks.figures.{self.family}"),
            self.home.partition(":")[2],
        )
        return function

    def measure(self, run: Run, *, required: bool) -> Figure:
        """Measures it.

        Args:
            run: What it shares with others.
            required: Whether it is an error if it cannot be measured here; otherwise
                the figure says why.

        Raises:
            FcdccError: It is required, and cannot be measured here.
        """
        try:
            return Figure(self.goal, self.load()(run, *self.arguments))
        except FcdccError as error:
            if required:
                raise
            return Figure(self.goal, None, str(error))


def select(names: Sequence[str]) -> tuple[Entry, ...]:
    """Returns the figures of some names, in the order of ``FIGURES``; none: all.

    Raises:
        FcdccError: There is no figure of a name.
    """
    known = [entry.goal.name for entry in FIGURES]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise FcdccError(
            "A figure must be one that `fcdcc-keras bench --list` names. Received: "
            f"{', '.join(unknown)}. Choose from {', '.join(known)}."
        )
    return tuple(e for e in FIGURES if not names or e.goal.name in names)


FIGURES: tuple[Entry, ...] = (
    Entry(
        Goal(
            "layer_fixed_ms_direct",
            "a layer beyond its convolution, 8 workers, 4 kB each way, transport alone",
            "ms",
            limit=10,
            aim=4,
        ),
        "layer_cost:fixed_direct",
    ),
    Entry(
        Goal(
            "layer_1mb_over_sockets",
            "the same with 1 MB each way, over the same bytes on bare sockets",
            "ratio",
            limit=1.5,
            aim=1.0,
        ),
        "layer_cost:large_over_sockets",
    ),
    Entry(
        Goal(
            "layer_tasks_over_submit",
            'transport "tasks" at 4 kB, over client.submit and as_completed',
            "ratio",
            limit=0.65,
        ),
        "layer_cost:tasks_over_submit",
    ),
    Entry(
        Goal(
            "monitoring_over_off",
            "calls of a layer, 8 workers, 4 kB each way: counted and told, over not",
            "ratio",
            limit=1.01,
        ),
        "layer_cost:monitoring_over_off",
    ),
    Entry(
        Goal(
            "weights_check_ms_per_pass",
            "comparing VGG16's kernels with those that the workers hold, once a pass",
            "ms",
        ),
        "weights:check_per_pass",
    ),
    Entry(
        Goal(
            "overhead_slope_ms_per_worker",
            "growth of a layer's overhead from 2 to 32 idle workers",
            "ms/worker",
        ),
        "growth:overhead_slope",
    ),
    Entry(
        Goal(
            "vgg16_b1_over_plain",
            "VGG16, one image, n = δ = 2 here, over plain Keras on the same cores",
            "ratio",
            limit=1.8,
            aim=1.4,
        ),
        "models:vgg16_b1",
    ),
    Entry(
        Goal(
            "vgg16_b16_over_plain",
            "VGG16, 16 images, n = δ = 2 here, over plain Keras on the same cores",
            "ratio",
            limit=1.5,
            aim=1.2,
        ),
        "models:vgg16_b16",
    ),
    Entry(
        Goal(
            "resnet50_b16_over_plain",
            "ResNet50, 16 images, n = δ = 2 here, over plain Keras on the same cores",
            "ratio",
            limit=3.0,
            aim=1.6,
        ),
        "models:resnet50_b16",
    ),
    Entry(
        Goal(
            "peers_b16",
            "VGG16, 16 images, n = δ = 2, over client.map of whole-model predict",
            "ratio",
        ),
        "models:data_parallel_b16",
    ),
    Entry(
        Goal(
            "coded_over_uncoded_auto",
            "VGG16, hedged, n = 6, δ = 4, code auto, over an uncoded split into 4",
            "ratio",
            limit=1.05,
        ),
        "redundancy:auto",
    ),
    Entry(
        Goal(
            "coded_over_uncoded_crme",
            "VGG16, hedged, n = 6, δ = 4, code crme, over an uncoded split into 4",
            "ratio",
            limit=1.15,
        ),
        "redundancy:crme",
    ),
    Entry(
        Goal(
            "systematic_over_crme_coding",
            "VGG16, hedged, n = 6, δ = 4: encoding and decoding, systematic over CRME",
            "ratio",
            limit=0.1,
        ),
        "redundancy:coding",
    ),
    Entry(
        Goal(
            "finite_over_off",
            'VGG16, n = 6, γ = 2: results checked to be finite, over verify="off"',
            "ratio",
        ),
        "redundancy:finite",
    ),
    Entry(
        Goal(
            "parity_over_off",
            'VGG16, n = 6, γ = 2: results checked by parity, over verify="off"',
            "ratio",
        ),
        "redundancy:parity",
    ),
    Entry(
        Goal(
            "worker_idle_mb",
            "resident memory of a light worker that has joined and is ready",
            "MB",
            limit=110,
        ),
        "worker_cost:idle_memory",
    ),
    Entry(
        Goal(
            "worker_start",
            "from the command to a worker that is ready, light over TensorFlow",
            "ratio",
            limit=0.25,
        ),
        "worker_cost:start",
    ),
    Entry(
        Goal(
            "worker_cpu_vgg16",
            "VGG16, n = 6, γ = 2: a worker's CPU time, light over TensorFlow",
            "ratio",
            limit=0.9,
        ),
        "worker_cost:cpu_vgg16",
    ),
    Entry(
        Goal(
            "worker_cpu_resnet50",
            "ResNet50, n = 6, γ = 2: a worker's CPU time, light over TensorFlow",
            "ratio",
            limit=0.8,
        ),
        "worker_cost:cpu_resnet50",
    ),
    Entry(
        Goal(
            "client_memory_growth",
            "growth of the client's resident memory while VGG16 sees many images",
            "%",
            limit=5,
        ),
        "growth:client_memory",
    ),
    Entry(
        Goal(
            "edge_speedup",
            "VGG16 over 6 emulated weak devices, γ = 2: times faster than one device",
            "ratio",
            limit=2.0,
            aim=3.0,
            higher_is_better=True,
        ),
        "edge:speedup",
    ),
    Entry(
        Goal(
            "edge_speedup_two_stopped",
            "the same with two of the devices stopped",
            "ratio",
            limit=1.8,
            higher_is_better=True,
        ),
        "edge:speedup_two_stopped",
    ),
    Entry(
        Goal(
            "edge_over_speculation",
            "one device 10 times slower: times faster than with speculative copies",
            "ratio",
            limit=1.0,
            higher_is_better=True,
        ),
        "edge:over_speculation",
    ),
    Entry(
        Goal(
            "edge_over_replication",
            "one device 10 times slower: times faster than 2-fold replication",
            "ratio",
            limit=1.0,
            higher_is_better=True,
        ),
        "edge:over_replication",
    ),
    *(Entry(goal, "home:measure", (situation, read)) for goal, situation, read in HOME),
    Entry(
        Goal(
            "home_prediction",
            "predicted over measured latency of six situations: the largest deviation",
            "ratio",
            limit=0.25,
        ),
        "home:prediction",
    ),
)
"""All figures, in an order that lets neighbours share a cluster."""

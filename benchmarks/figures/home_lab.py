"""Measuring one situation at home: six boards at a switch, the client on one more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.figures.edge_device import KERAS, LIGHT, PLANNED
from benchmarks.figures.interleave import Contender, interleave
from benchmarks.figures.lab import RATE, Remote, home_devices, lone
from fcdcc_keras.errors import FcdccError

if TYPE_CHECKING:
    from benchmarks.figures.run import Run
    from cluster.edge_lab import Device, EdgeLab

WORKERS, STRAGGLERS = 6, 2
SLOW = 10.0
"""Times that a slowed device is slower."""
OURS, CODED, FAULTY = "ours", "coded", "faulty"
"""By an objective; every convolution coded; ours under a fault."""
_ROUNDS, _WARM_UP = 11, 3
_SETTLING = 3
"""Predictions after which a fault that lasts is known."""
_BACK = 40
"""Predictions within which a worker that is well again must be used."""
_LARGEST_DEVIATION = 1e-4
"""From plain Keras, over the largest output."""

Turn = dict[str, Any]
"""What a device says of one prediction; see ``Contenders.turn``."""


@dataclass(frozen=True)
class Situation:
    """What is measured at once."""

    model: str
    rate: str = RATE
    """Bits a second of each link."""
    objective: str = "latency"
    batch: int = 1
    workers: int = WORKERS
    fault: str = ""
    """"stopped": two workers, before the call; "slow": one, ten times slower."""
    peers: tuple[str, ...] = ()
    """Other ways to use the workers: ``CODED``, or one of ``edge_device``."""
    alone: bool = True
    """Whether the model on a device by itself is measured too."""


@dataclass(frozen=True)
class Measured:
    """What was found in a situation. All by the name of what predicted."""

    seconds: Mapping[str, Sequence[float]]
    """Of each round."""
    turns: Mapping[str, Sequence[Turn]]
    """Of each round."""
    made: Mapping[str, Mapping[str, Any]]
    """What was said when it was made; see ``Contenders.make``."""
    where: Mapping[str, Mapping[str, Any]]
    """Where its time went."""
    faults: Sequence[Mapping[str, Any]] = ()
    """What became of each."""

    @property
    def rounds(self) -> int:
        """How many."""
        return len(self.seconds[OURS])


class Home:
    """A lab, what its client was calibrated to, and what was found in it."""

    def __init__(self, lab: EdgeLab, spare: Device) -> None:
        """Takes a lab whose client is on a device.

        Args:
            lab: With ``WORKERS`` workers.
            spare: A device without one, for a model by itself.
        """
        self.lab, self._spare = lab, spare
        self._found: dict[Situation, Measured] = {}
        self._calibrations: dict[str, Any] = {}

    def find(self, situation: Situation, run: Run) -> Measured:
        """Measures a situation, if that was not done before."""
        if situation not in self._found:
            with self._ready(situation) as there:
                self._found[situation] = there.measure(run)
        return self._found[situation]

    @contextmanager
    def _ready(self, situation: Situation) -> Iterator[_There]:
        board, address = self.lab.client, self.lab.scheduler_address
        assert board is not None
        load = {"application": situation.model, "batch": situation.batch}
        self._set_rate(situation.rate)
        with ExitStack() as programs:
            client = programs.enter_context(Remote(board, address))
            client.prepare("load", **load)
            calibration = self._calibration(situation.rate, client)
            there = _There(situation, self.lab, client)
            if situation.alone:
                alone = programs.enter_context(Remote(self._spare))
                alone.prepare("load", **load)
                for way in (KERAS, LIGHT):
                    there.make(alone, way, way)
            few = {"workers": situation.workers}
            shared = {**few, "stragglers": STRAGGLERS}
            # How long weights take to be placed is not measured.
            placing = programs.enter_context(ExitStack())
            self._set_rate(None)
            for device in self.lab.devices:
                placing.enter_context(device.at_full_speed())
            there.make(
                client,
                OURS,
                PLANNED,
                **shared,
                objective=situation.objective,
                redundancy="hedged",
                calibration=calibration,
            )
            for name in situation.peers:
                if name == CODED:
                    there.make(client, name, PLANNED, **shared)
                else:
                    there.make(client, name, name, **few)
            placing.close()
            self._set_rate(situation.rate)
            yield there
            client.prepare("drop")

    def _calibration(self, rate: str, client: Remote) -> Any:
        if rate not in self._calibrations:
            found = client.ask("calibrate", stragglers=STRAGGLERS)
            self._calibrations[rate] = found
        return self._calibrations[rate]

    def _set_rate(self, rate: str | None) -> None:
        for device in filter(None, (*self.lab.devices, self.lab.client)):
            device.set_rate(rate)


@dataclass
class _There:
    """Programs on devices, with what they have made."""

    situation: Situation
    lab: EdgeLab
    client: Remote
    made: dict[str, Any] = field(default_factory=dict)
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    faults: list[Mapping[str, Any]] = field(default_factory=list)
    at: dict[str, Remote] = field(default_factory=dict)
    usual: set[str] = field(default_factory=set)
    """Addresses of the workers that are used while nothing is wrong."""

    def make(self, where: Remote, name: str, way: str, **options: Any) -> None:
        """Has something predict, rightly."""
        made = where.prepare("make", name=name, way=way, options=options)
        if made["deviation"] > _LARGEST_DEVIATION:
            raise FcdccError(
                f"{name} must predict what plain Keras does. Received: a deviation of "
                f"{made['deviation']:.2g} of the largest output. Look for the fault."
            )
        self.made[name], self.at[name] = made, where

    def measure(self, run: Run) -> Measured:
        """Has all predict in turn."""
        rounds = run.rounds(_ROUNDS, _WARM_UP)
        ways: dict[str, Contender] = {
            name: partial(self._turn, name) for name in self.at
        }
        if self.situation.fault:
            ways[FAULTY] = self._under_a_fault
        seconds = interleave(ways, rounds, warm_up=_WARM_UP, step=run.step)
        return Measured(
            seconds,
            {name: self.turns[name][-rounds:] for name in ways},
            self.made,
            {
                name: where.ask("parts", name=name, seconds=seconds[name])
                for name, where in self.at.items()
                if not self.situation.fault  # whose passes are between the others
            },
            self.faults[-rounds:],
        )

    def _turn(self, name: str, called: str = "") -> float:
        """Predicts, and returns the seconds by the device's own clock."""
        said = self.at[name].ask("turn", name=name)
        self.turns.setdefault(called or name, []).append(said)
        return float(said["seconds"])

    def _under_a_fault(self) -> float:
        """Predicts when a fault has been there for some time, and takes it back."""
        stopping = self.situation.fault == "stopped"
        struck = self.lab.devices[: STRAGGLERS if stopping else 1]
        if not self.usual:
            self._turn(OURS, "settling")
            self.usual = set(self.turns["settling"][-1]["workers"])
        missed = self.usual & {device.address for device in struck}
        for device in struck:
            device.stop() if stopping else device.slow(SLOW)
        try:
            first, *_ = (self._turn(OURS, "settling") for _ in range(_SETTLING))
            seconds = self._turn(OURS, FAULTY)
        finally:
            for device in struck:
                device.resume() if stopping else device.slow(1)
        back = self._until_used(missed)
        self.faults.append({"first_s": first, "predictions_until_back": back})
        return seconds

    def _until_used(self, addresses: set[str]) -> int:
        """Predicts until workers are used again, all at once; returns how often."""
        for predictions in range(1, _BACK + 1):
            self._turn(OURS, "settling")
            if addresses <= set(self.turns["settling"][-1]["workers"]):
                return predictions
        raise FcdccError(
            "Workers that are well again must be given work again. Received: not all "
            f"of {', '.join(addresses)} used in {_BACK} predictions. Look into the "
            "trace."
        )


@contextmanager
def bring_up() -> Iterator[Home]:
    """Brings the lab up."""
    with home_devices(WORKERS + 1) as lab:
        yield Home(lab, lone(lab))

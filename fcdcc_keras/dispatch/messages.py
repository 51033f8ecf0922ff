"""What a round is told, and what it has its driver do: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fcdcc_keras.dispatch.collector import Verdict


@dataclass(frozen=True)
class Encoded:
    """The inputs of some slots are ready to be sent."""

    slots: tuple[int, ...]


@dataclass(frozen=True)
class Answered:
    """A worker gave a result of the right shape and type."""

    slot: int
    worker: str
    nbytes: int
    """Size of the result."""
    arrived: float
    """When it came, before it was checked."""
    started: float | None = None
    """By the worker's clock, as ``finished``."""
    finished: float | None = None
    waited: float = 0.0
    """Seconds of that in which it waited for other workers."""


@dataclass(frozen=True)
class Waited:
    """What a worker had done when it gave up waiting for another."""

    chains: int
    """Tiles that it had computed, each of another chain."""
    seconds: float
    """For which it had waited."""
    computed: float
    """Seconds that it had computed."""
    cut_off: bool = False
    """Whether it did not reach one that it was to give something."""


@dataclass(frozen=True)
class Failed:
    """A worker gave no usable result."""

    slot: int
    worker: str
    why: str
    arrived: float
    lost_share: bool = False
    """Whether it has no kernel to compute with."""
    began: bool = True
    """Whether it is known to have begun; otherwise it may not even be there."""
    waited: Waited | None = None
    """Where it was another worker that did not give it what it needs."""


@dataclass(frozen=True)
class SharePlaced:
    """A worker that was to take a share has it, or will not."""

    slot: int
    worker: str
    there: bool


@dataclass(frozen=True)
class Freed:
    """A worker has ended some piece of work, of whatever round."""

    worker: str


@dataclass(frozen=True)
class CrewChanged:
    """Somebody looked who is there, or asked a worker that owes an answer."""


@dataclass(frozen=True)
class Judged:
    """The results that were to be compared have been."""

    verdict: Verdict


@dataclass(frozen=True)
class Compared:
    """The results of one piece of work have been compared."""

    slot: int
    asked: frozenset[str]
    """Workers whose results were compared."""
    agreeing: frozenset[str]
    """Most of them, whose results agree; empty where there are no such."""


@dataclass(frozen=True)
class Abandoned:
    """No answer can be of use, or nobody waits for one."""

    why: str | None = None
    """None, where that is no reason for the client to compute the layer itself."""


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Event = (
    Encoded
    | Answered
    | Failed
    | SharePlaced
    | Freed
    | CrewChanged
    | Judged
    | Compared
    | Abandoned
    | Tick
)


@dataclass(frozen=True)
class Encode:
    """Get the inputs of some slots ready; then ``Encoded``."""

    slots: tuple[int, ...]


@dataclass(frozen=True)
class Among:
    """Workers that exchange halos, and how long they wait for each other."""

    workers: tuple[str, ...]
    """Who has which tile, by number; (): it is a rehearsal, of one by itself."""
    patience: float
    """Seconds."""


@dataclass(frozen=True)
class Send:
    """Send a slot's input to a worker; then ``Answered`` or ``Failed``, even late."""

    slot: int
    worker: str
    among: Among | None = None
    """Where workers exchange halos; None: it computes it by itself."""


@dataclass(frozen=True)
class Disband:
    """Tell workers that exchange halos that it is over: others give no more."""

    workers: tuple[str, ...]


@dataclass(frozen=True)
class PlaceShare:
    """Give a worker the share of a slot, and keep the input; then ``SharePlaced``."""

    slot: int
    worker: str


@dataclass(frozen=True)
class HurryShare:
    """A share that is on its way, or waits for it, is to be the next."""

    slot: int
    worker: str


@dataclass(frozen=True)
class Look:
    """Ask the scheduler who is there, and some workers whether they are well.

    Tell the crew; then ``CrewChanged``, of the workers once all have been asked: else
    what one was to do would be given to another that does not answer either.
    """

    workers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judge:
    """Compare the results so far; then ``Judged``."""

    given: Mapping[str, frozenset[int]]
    """The slots that each worker has given a result for."""


@dataclass(frozen=True)
class Compare:
    """Compare the results of one piece of work; then ``Compared``."""

    slot: int
    workers: frozenset[str]


@dataclass(frozen=True)
class Keep:
    """Put a worker's result where it belongs: others' inputs may be taken from it."""

    slot: int
    worker: str


@dataclass(frozen=True)
class Fill:
    """A slot has another worker: give it the shares of all layers."""

    slot: int


@dataclass(frozen=True)
class Distrusted:
    """Say that a worker is not used any more."""

    worker: str


@dataclass(frozen=True)
class Free:
    """Tell all rounds under way that a worker may be free: ``Freed``."""

    worker: str


@dataclass(frozen=True)
class Finish:
    """The answers suffice, or never will, or time is up."""


Command = (
    Encode
    | Send
    | Disband
    | PlaceShare
    | HurryShare
    | Look
    | Judge
    | Compare
    | Keep
    | Fill
    | Distrusted
    | Free
    | Finish
)

"""Models as chains, and plans of them made by hand, whatever a planner would find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

import fcdcc_keras as fk
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.rewriting.graph.stretches import StretchSite, sites

WORKERS = 3
SHAPE = (12, 10, 3)
_L: Any = keras.layers


def chains_of(
    site: StretchSite, places: Sequence[str] = ("workers",) * 2
) -> StretchPlan:
    """Returns a plan of a stretch, cut into chains of about as many layers each."""
    assert site.size is not None
    ends = [path for path, _ in site.at(site.size).ends]
    many = len(places)
    cuts = [ends[-(-len(ends) * part // many) - 1] for part in range(1, many + 1)]
    chains = tuple(map(ChainPlan, dict.fromkeys(cuts), places))
    return StretchPlan(site.graph, site.entry, site.size, chains)


def chained_plan(model: keras.Model, places: Sequence[str] = ("workers",) * 2) -> Plan:
    """Returns a plan of all stretches of a model whose sizes are known."""
    sized = [site for site in sites(model) if site.size is not None]
    stretches = tuple(chains_of(site, places) for site in sized)
    return Plan(model.name, WORKERS, 1, (), (), stretches=stretches)


def chained(
    model: keras.Model, places: Sequence[str] = ("workers",) * 2
) -> keras.Model:
    """Returns a model whose stretches are computed in process, or an error raised."""
    plan = chained_plan(model, places)
    return fk.distribute(model, fk.LocalExecutor(WORKERS), plan=plan, fallback="raise")


def conv(name: str, filters: int = 4, **options: Any) -> Any:
    return _L.Conv2D(filters, 3, padding="same", name=name, **options)


def _block(x: Any, name: str) -> Any:
    y = _L.BatchNormalization(name=f"{name}_norm")(conv(name, x.shape[-1])(x))
    return _L.Add(name=f"{name}_sum")([_L.ReLU(name=f"{name}_relu")(y), x])


def residual() -> keras.Model:
    """Forks, normalization, dropout, a head."""
    x = keras.Input(SHAPE, name="x")
    y = _block(_block(conv("stem", activation="relu")(x), "first"), "second")
    y = _L.Dropout(0.4, seed=3, name="drop")(_L.MaxPooling2D(name="pool")(y))
    y = _L.Flatten(name="flat")(y)
    return keras.Model(x, _L.Dense(5, activation="softmax", name="out")(y), name="res")


def sequential() -> keras.Model:
    """As users write it."""
    layers = (
        conv("a"),
        _L.ReLU(name="r"),
        conv("b"),
        _L.GlobalMaxPooling2D(name="g"),
    )
    return keras.Sequential([keras.Input(SHAPE), *layers], name="seq")


def nested() -> keras.Model:
    """A model inside, and what no program has inside of that."""
    inner = keras.Sequential(
        [
            *(keras.Input((12, 10, 4)), conv("a"), conv("b")),
            *(_L.LayerNormalization(name="n"), conv("c")),
        ],
        name="inner",
    )
    x = keras.Input(SHAPE, name="x")
    return keras.Model(x, conv("after", 2)(inner(conv("before")(x))), name="nested")


def several() -> keras.Model:
    """Several inputs by name, several outputs, a model used twice."""
    inputs = {name: keras.Input(SHAPE, name=name) for name in ("left", "right")}
    tower = keras.Sequential([keras.Input(SHAPE), conv("t"), conv("u")], name="tower")
    a, b = (tower(one) for one in inputs.values())
    y = _L.Concatenate(name="both")([a, _block(b, "block")])
    outputs = {"sum": conv("d", 2)(conv("c")(y)), "other": a * 2.0}
    return keras.Model(inputs, outputs, name="several")


@keras.saving.register_keras_serializable("chained_models")
class Holding(keras.Model):
    """A class of a user's that holds a graph."""

    def __init__(self, filters: int, **options: Any) -> None:
        super().__init__(**options)
        self.filters = filters
        self.body = sequential()
        self.head = _L.Dense(filters, name="head")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Runs the graph, then a layer."""
        return self.head(self.body(inputs, training=training))

    def get_config(self) -> dict[str, Any]:
        """Returns how to make it again."""
        return {**super().get_config(), "filters": self.filters}


def holding() -> keras.Model:
    """A model of it."""
    model = Holding(3, name="holding")
    model(np.zeros((1, *SHAPE), np.float32))
    return model


MODELS = (residual, sequential, nested, several, holding)


def inputs_of(model: keras.Model, batch: int = 3, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    drawn = rng.random((2, batch, *SHAPE), np.float32)
    if model.name == "several":
        return dict(zip(("left", "right"), drawn, strict=True))
    return drawn[0]


def made(make: Callable[[], keras.Model]) -> keras.Model:
    keras.utils.set_random_seed(7)
    return make()


def on_workers(model: keras.Model) -> int:
    """Returns how many runs of chains workers did, for a batch; the client none."""
    with fk.trace(model) as trace:
        model.predict(inputs_of(model), verbose=0)
    assert trace.local_convolutions == 0
    return trace.distributed_convolutions


def traced_runs(model: keras.Model, run: Callable[[], Any]) -> int:
    with fk.trace(model) as trace:
        run()
    return len(trace.records)

"""Files and copies of models with chains are those of the models that they were."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from fcdcc_keras.rewriting.chains import chained_graphs
from fcdcc_keras.rewriting.graph.stretches import sites
from tests.rewriting.chained_models import (
    WORKERS,
    chained,
    chained_plan,
    holding,
    inputs_of,
    made,
    nested,
    on_workers,
    residual,
    several,
)
from tests.rewriting.copied_models import assert_same

# Keras, as it saves, makes arrays of TensorFlow's variables, which do not know `copy`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")


@pytest.mark.parametrize("make", [residual, nested, several, holding])
def test_files_are_those_of_the_plain_model(
    make: Callable[[], keras.Model], tmp_path: Any
) -> None:
    plain = made(make)
    model = chained(plain)
    inputs = inputs_of(plain)
    expected = plain.predict(inputs, verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    copies = (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model)))
    for one in copies:
        assert type(one) is type(plain)
        assert not any(graph.attached for graph in chained_graphs(one))
        assert_same(one.predict(inputs, verbose=0), expected)
    assert on_workers(model) == len(sites(plain))
    # With every convolution coded, as chains again, and on no cluster.
    executor = fk.LocalExecutor(WORKERS)
    fk.attach(loaded, executor, fallback="raise")
    coded = fk.report(loaded).converted
    assert coded
    assert not fk.report(loaded).chains
    assert_same(loaded.predict(inputs, verbose=0), expected)
    fk.attach(loaded, executor, plan=chained_plan(loaded), fallback="raise")
    assert len(fk.report(loaded).chains) == 2 * len(sites(plain))
    assert on_workers(loaded) == len(sites(plain))
    fk.attach(loaded, executor, fallback="raise")
    assert fk.report(loaded).converted == coded
    assert_same(loaded.predict(inputs, verbose=0), expected)
    fk.close(loaded)
    assert executor.placements == []
    assert_same(loaded.predict(inputs, verbose=0), expected)


def test_what_is_exported_needs_no_workers(tmp_path: Any) -> None:
    plain = made(residual)
    model = chained(plain)
    inputs = tf.constant(inputs_of(plain))
    tf.saved_model.save(model, tmp_path / "saved")
    loaded = tf.saved_model.load(tmp_path / "saved")
    fk.close(model)
    found = loaded.signatures["serving_default"](inputs)
    assert_same(list(found.values()), [plain(inputs)])


def test_what_was_traced_goes_on_after_the_model_has_other_chains() -> None:
    plain = made(residual)
    model = chained(plain)
    inputs = tf.constant(inputs_of(plain))
    traced = tf.function(lambda x: model(x))
    expected = traced(inputs)
    assert_same(expected, plain(inputs))
    executor = fk.LocalExecutor(WORKERS)
    fk.attach(model, executor, plan=chained_plan(model, ["workers"] * 3))
    with fk.trace(model) as trace:
        assert_same(traced(inputs), expected)
    assert trace.distributed_convolutions
    fk.attach(model, executor)
    assert_same(traced(inputs), expected)
    fk.close(model)
    assert_same(traced(inputs), expected)
    assert executor.placements == []


def test_copies_of_a_model_have_nothing_of_it() -> None:
    plain = made(residual)
    model = chained(plain)
    inputs = tf.constant(inputs_of(plain))
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    executor = fk.LocalExecutor(WORKERS)
    coded = fk.distribute(model, executor, fallback="raise")
    fk.close(model)
    for one in (cloned, coded):
        assert chained_graphs(one) == []
        assert_same(one(inputs), plain(inputs))
    assert len(fk.report(coded).converted) == 3
    fk.close(coded)


def test_a_model_that_is_gone_holds_nothing() -> None:
    model = chained(made(residual))
    inputs = inputs_of(model)
    alive = weakref.ref(model)
    traced = tf.function(lambda x: alive()(x))
    traced(tf.constant(inputs))
    model.predict(inputs, verbose=0)
    (session,) = {graph.session for graph in chained_graphs(model)}
    held = weakref.ref(session)
    del model, session
    gc.collect()
    assert held() is None


def test_on_a_cluster(client: Any, tmp_path: Any) -> None:
    plain = made(nested)
    plan = replace(chained_plan(plain), workers=4)
    model = fk.distribute(plain, client, plan=plan, fallback="raise")
    inputs = inputs_of(plain)
    for scale in (1.0, 1.25):
        weights = [w * scale for w in plain.get_weights()]
        for one in (plain, model):
            one.set_weights(weights)
        expected = plain.predict(inputs, verbose=0)
        assert_same(model.predict(inputs, verbose=0), expected)
        assert_same(model(inputs), expected)
    assert on_workers(model) == 2
    model.save(tmp_path / "model.keras")
    fk.close(model)
    loaded = fk.load_model(tmp_path / "model.keras", client, fallback="raise")
    assert fk.report(loaded).converted == ("before", *_INNER, "after")
    assert_same(loaded.predict(inputs, verbose=0), expected)
    fk.close(loaded)


_INNER = ("inner/a", "inner/b", "inner/c")

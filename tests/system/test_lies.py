"""Real workers that answer what they did not compute: every prediction is right."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.executors import call

TRANSPORTS = ["tasks", "direct"]


def model(activation="relu"):
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(
            16, 3, padding="same", activation=activation, name=f"conv_{i}"
        )
        for i in range(3)
    ]
    return keras.Sequential([keras.Input((40, 40, 3)), *layers])


def images(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 40, 40, 3)).astype("float32")


def check(plain, coded, calls=1):
    """Predicts and compares; returns the trace."""
    with fk.trace(coded) as trace:
        for seed in range(calls):
            y = coded.predict_on_batch(images(seed))
            expected = plain.predict_on_batch(images(seed))
            np.testing.assert_allclose(y, expected, atol=1e-5)
    assert trace.local_convolutions == 0
    return trace


def used(record):
    """Returns the slots whose answers were used: decoded, or compared with those."""
    return [s.worker for s in record.subtasks if s.outcome == "used"]


def _replace(how):
    """Runs on a worker: has it compute convolutions in another way."""
    from fcdcc_keras.worker.weights import Weights

    honest = getattr(Weights, "_honest", None) or Weights.run
    Weights._honest = honest

    def run(*args):
        if how == "fail":
            raise RuntimeError("this worker is broken")
        result = np.array(honest(*args))
        if how == "one number":
            result[0, 1, 2, 3] += 1e-2 * np.sqrt(np.mean(result**2))
        elif how == "nan":
            result[0, 1, 2, 3] = np.nan
        else:
            result *= -1
        return result

    Weights.run = honest if how is None else run


@pytest.fixture
def alter(client):
    """Has a worker of the session's cluster answer otherwise, until the test ends."""
    yield lambda address, how: client.run(_replace, how, workers=[address])
    client.run(_replace, None)


def distribute(client, plain, transport, **options):
    options = {"stragglers": 2, "fallback": "raise", "verify": "parity", **options}
    return fk.closing(fk.distribute(plain, client, transport=transport, **options))


@pytest.mark.parametrize(
    ("transport", "how"), [("tasks", "one number"), ("direct", "all of it")]
)
def test_a_worker_that_lies_is_left_out_from_then_on(
    client, alter, transport, how, monkeypatch
):
    monkeypatch.setattr(call, "_LARGE", 1 << 14)  # checked beside the loop
    plain = model()
    with distribute(client, plain, transport) as coded:
        executor = coded.layers[0].session.executor
        trace = check(plain, coded, 2)
        assert all(len(used(record)) >= 3 for record in trace.records)
        homes = executor.addresses
        alter(homes[1], how)
        match = f"{homes[1]} gave a result .* contradicts those of the others"
        with pytest.warns(RuntimeWarning, match=match) as caught:
            trace = check(plain, coded, 10)
        assert len(caught) == 1
        fates = [record.subtasks[1] for record in trace.records]
        named = [
            f for f in fates if f.outcome == "failed" and "contradicts" in f.detail
        ]
        assert [fate.address for fate in named] == [homes[1]]
        after = fates[fates.index(named[0]) + 1 :]
        assert all(fate.sent is None for fate in after)
        assert executor.crew.health[homes[1]].state(0.0) == "distrusted"
        alter(homes[1], None)
        assert all(1 not in used(r) for r in check(plain, coded, 2).records)

        # With one more worker gone, somebody else takes over the share of the liar.
        alter(homes[2], "fail")
        trace = check(plain, coded, 3)
        assert all(len(used(record)) >= 3 for record in trace.records)
        helpers = {
            record.subtasks[s].address for record in trace.records for s in used(record)
        }
        assert helpers == {homes[0], homes[3]}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_when_hedged_the_others_are_asked_only_after_a_disagreement(
    client, alter, transport
):
    plain = model()
    with distribute(client, plain, transport, redundancy="hedged") as coded:
        homes = coded.layers[0].session.executor.addresses
        check(plain, coded, 4)  # it must be known how long they take
        records = check(plain, coded, 4).records
        few = [r for r in records if any(s.sent is None for s in r.subtasks)]
        assert few  # unless one was late
        assert all(len(used(record)) >= 3 for record in records)
        liar = used(few[-1])[0]
        alter(homes[liar], "one number")
        with pytest.warns(RuntimeWarning, match="contradicts those of the others"):
            trace = check(plain, coded, 10)
        details = [r.subtasks[liar].detail for r in trace.records]
        assert any("contradicts" in detail for detail in details)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_lie_that_nobody_can_be_named_for_is_no_answer(client, alter, transport):
    plain = model()
    with distribute(client, plain, transport, stragglers=1) as coded:
        check(plain, coded)
        homes = coded.layers[0].session.executor.addresses
        alter(homes[0], "one number")
        with pytest.raises(fk.CorruptResultError, match="contradict each other"):
            coded.predict_on_batch(images(0))
        alter(homes[0], None)
        check(plain, coded)
    with (
        distribute(client, plain, transport, stragglers=1, fallback="local") as coded,
        fk.trace(coded) as trace,
    ):
        alter(homes[0], "one number")
        with pytest.warns(RuntimeWarning, match="contradict each other"):
            y = coded.predict_on_batch(images(0))
        np.testing.assert_allclose(y, plain.predict_on_batch(images(0)), atol=1e-5)
    assert trace.local_convolutions == 3


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_two_liars_at_a_time_are_no_answer_at_once(client, alter, transport):
    plain = model()
    with distribute(client, plain, transport, timeout=1e4) as coded:
        homes = coded.layers[0].session.executor.addresses
        for worker in (0, 3):
            alter(homes[worker], "one number")
        with pytest.raises(fk.CorruptResultError, match="contradict each other"):
            coded.predict_on_batch(images(0))
        for worker in (0, 3):
            alter(homes[worker], None)
        check(plain, coded)  # nobody was named


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_liar_and_a_broken_worker_at_once_give_no_wrong_answer(
    client, alter, transport
):
    plain = model()
    with (
        distribute(client, plain, transport, fallback="local", timeout=1e4) as coded,
        fk.trace(coded) as trace,
    ):
        homes = coded.layers[0].session.executor.addresses
        alter(homes[0], "one number")
        alter(homes[2], "fail")
        # Another takes over the broken worker's share: perhaps the liar.
        with pytest.warns(RuntimeWarning, match="contradict"):
            outputs = [coded.predict_on_batch(images(seed)) for seed in range(6)]
    for seed, y in enumerate(outputs):
        expected = plain.predict_on_batch(images(seed))
        np.testing.assert_allclose(y, expected, atol=1e-5)
    for record in trace.records:
        assert record.local or len(used(record)) >= 3


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_threads_meet_a_liar_together(client, alter, transport):
    plain = model()
    expected = [plain.predict_on_batch(images(seed)) for seed in range(4)]
    with distribute(client, plain, transport, fallback="local") as coded:
        homes = coded.layers[0].session.executor.addresses
        alter(homes[2], "one number")
        with (
            pytest.warns(RuntimeWarning, match="contradicts") as caught,
            ThreadPoolExecutor(4) as threads,
        ):
            outputs = list(threads.map(lambda i: coded(images(i % 4)), range(24)))
        assert [homes[2] in str(w.message) for w in caught].count(True) == 1
        for i, output in enumerate(outputs):
            np.testing.assert_allclose(output, expected[i % 4], atol=1e-5)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_results_that_are_not_finite_are_erasures(client, alter, transport):
    plain = model(activation=None)  # TensorFlow's fused relu may make NaN 0
    with distribute(client, plain, transport, verify="finite") as coded:
        homes = coded.layers[0].session.executor.addresses
        alter(homes[2], "nan")
        trace = check(plain, coded, 3)
        assert all(2 not in used(record) for record in trace.records)
        alter(homes[2], None)
        x = images(0)
        x[0, 3, 4, 1] = np.nan
        with fk.trace(coded) as trace:
            y = coded.predict_on_batch(x)
        np.testing.assert_allclose(y, plain.predict_on_batch(x), atol=1e-5)
        assert all("not finite" in record.local for record in trace.records)
        check(plain, coded)


def test_parity_needs_a_straggler_to_spare(client):
    with pytest.raises(fk.PlanError, match="Received: stragglers=0"):
        fk.distribute(model(), client, stragglers=0, verify="parity")
    with pytest.raises(fk.PlanError, match="`verify` must be one of"):
        fk.distribute(model(), client, verify="everything")

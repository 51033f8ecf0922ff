"""What every executor does, in one suite over all of them."""

import threading
import warnings

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.executors.connect import connect


@pytest.fixture(params=["local", "tasks", "direct"])
def executor(request):
    if request.param == "local":
        yield fk.LocalExecutor(4)
        return
    client = request.getfixturevalue("client")
    executor, cleanup = connect(client, None, 1, request.param)
    assert executor.transport_name == request.param
    yield executor
    cleanup()


def model(seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((20, 16, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    x = keras.layers.Conv2D(6, 3, strides=2, name="second")(x)
    return keras.Model(inputs, x)


def images(seed=0, batch=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, 20, 16, 3)).astype("float32")


def placements(coded):
    return [
        layer.coded.place(layer.kernel_array())
        for layer in coded.layers
        if isinstance(layer, fk.CodedConv2D)
    ]


@pytest.mark.parametrize("stragglers", [0, 1, 2, 3])
def test_answers_are_those_of_the_plain_model(executor, stragglers):
    plain = model()
    coded = fk.distribute(plain, executor, stragglers=stragglers, fallback="raise")
    for call in range(3):
        x = images(call)
        with fk.trace(coded) as trace:
            y = coded.predict_on_batch(x)
        np.testing.assert_allclose(y, plain.predict_on_batch(x), atol=1e-5)
        assert trace.distributed_convolutions == 2
        for record, layer in zip(trace.records, coded.layers[1:], strict=True):
            code = layer.coded.plan.code
            assert len(record.survivors) >= code.recovery_threshold
            assert record.transport == executor.transport_name
            assert code.stragglers >= stragglers
            assert [t.address for t in record.subtasks] == list(executor.addresses)


def test_every_worker_holds_its_share_and_only_that(executor):
    coded = fk.distribute(model(), executor, stragglers=1)
    for layer, placement in zip(coded.layers[1:], placements(coded), strict=True):
        assert sorted(placement.held) == [0, 1, 2, 3]
        code, kernel = layer.coded.plan.code, layer.kernel_array()
        shares = placement.encode(range(4))
        block = -(-kernel.shape[-1] // code.k_b)
        assert shares.shape == (4, *kernel.shape[:-1], code.ell_b * block)
    fk.close(coded)
    assert all(layer.coded._placed is None for layer in coded.layers[1:])


def test_closed_model_computes_locally(executor):
    plain = model()
    coded = fk.distribute(plain, executor)
    x = images()
    coded.predict(x, verbose=0)
    with fk.trace(coded) as trace:
        fk.close(coded)
        fk.close(coded)
        y = coded.predict(x, verbose=0)
    np.testing.assert_array_equal(y, plain.predict(x, verbose=0))
    assert trace.local_convolutions == 2
    assert {record.local for record in trace.records} == {"not on a cluster"}


def test_closing_ends_with_the_block(executor):
    with fk.closing(fk.distribute(model(), executor)) as coded:
        session = coded.layers[1].session
        assert not session.closed
    assert session.closed
    with (
        pytest.raises(RuntimeError, match="user"),
        fk.closing(fk.distribute(model(), executor)) as coded,
    ):
        raise RuntimeError("user")
    assert coded.layers[1].session.closed


def test_new_kernels_are_placed_before_the_next_answer(executor):
    coded = fk.distribute(model(), executor)
    other = model(seed=7)
    x = images()
    coded.predict_on_batch(x)
    coded.set_weights(other.get_weights())
    with fk.trace(coded) as trace:
        y = coded.predict_on_batch(x)
    np.testing.assert_allclose(y, other.predict_on_batch(x), atol=1e-5)
    assert trace.distributed_convolutions == 2


def test_threads_share_a_model_and_models_share_an_executor(executor):
    plains = [model(seed) for seed in range(2)]
    coded = [fk.distribute(plain, executor, fallback="raise") for plain in plains]
    xs = [images(seed, batch=2) for seed in range(6)]
    outputs: dict[tuple[int, int], np.ndarray] = {}

    def predict(m, i):
        for _ in range(3):
            outputs[m, i] = coded[m](xs[i]).numpy()

    threads = [
        threading.Thread(target=predict, args=(m, i))
        for m in range(2)
        for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for (m, i), y in outputs.items():
        np.testing.assert_allclose(y, plains[m](xs[i]), atol=1e-5)
    assert len(outputs) == 12


def test_weights_change_while_another_thread_predicts(executor):
    weights = [model(seed).get_weights() for seed in range(2)]
    plains = [model(seed) for seed in range(2)]
    x = images()
    expected = [plain(x).numpy() for plain in plains]
    coded = fk.distribute(model(), executor, fallback="raise")
    done = threading.Event()
    failures: list[object] = []

    def predict():
        while not done.is_set():
            try:
                coded(x)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()
    for change in range(8):
        coded.set_weights(weights[change % 2])
        coded(x)
    done.set()
    for thread in threads:
        thread.join(60)
    assert failures == []
    coded.set_weights(weights[1])
    np.testing.assert_allclose(coded(x), expected[1], atol=1e-5)


def test_closing_ends_layers_under_way(executor):
    plain = model()
    x = images()
    expected = plain(x).numpy()
    coded = fk.distribute(plain, executor)
    outputs: list[np.ndarray] = []
    closed = threading.Event()

    def predict():
        while not closed.is_set():
            outputs.append(coded(x).numpy())
        outputs.append(coded(x).numpy())

    thread = threading.Thread(target=predict)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the fallback's, by chance
        thread.start()
        while len(outputs) < 3:
            assert thread.is_alive()
        fk.close(coded)
        closed.set()
        thread.join(30)
    assert not thread.is_alive()
    for output in outputs:
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_summary_counts_what_happened(executor):
    coded = fk.distribute(model(), executor, stragglers=1)
    with fk.trace(coded) as trace:
        for i in range(4):
            coded.predict_on_batch(images(i))
    summary = trace.summary()
    used = sum(counts["used"] for counts in summary.outcomes.values())
    assert used == sum(len(record.survivors) for record in trace.records)
    assert sum(sum(counts.values()) for counts in summary.outcomes.values()) == 8 * 4
    assert min(summary.bytes_sent.values()) > 0
    text = str(summary)
    assert "8 convolutions on workers, 0 in the client" in text
    assert all(address in text for address in executor.addresses)

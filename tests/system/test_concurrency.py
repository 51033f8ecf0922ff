"""Threads, models and clients share a cluster: every answer is right, none hangs."""

import threading
from itertools import product

import keras
import numpy as np
import pytest
from distributed import Client

import fcdcc_keras as fk

ROUNDS = 4


def model(seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((20, 20, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    branches = [keras.layers.Conv2D(4, size)(x) for size in (1, 1)]
    return keras.Model(inputs, keras.layers.Add()(branches))


def images(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 20, 20, 3)).astype("float32")


def all_at_once(works):
    """Runs functions in a thread each, and raises what one of them raised."""
    failures = []

    def run(work):
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=run, args=(work,), daemon=True) for work in works
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not [thread for thread in threads if thread.is_alive()]
    if failures:
        raise failures[0]


@pytest.mark.parametrize("redundancy", ["eager", "hedged"])
def test_clients_models_and_threads_share_a_cluster(client, redundancy):
    options = {"redundancy": redundancy, "fallback": "raise", "stragglers": 1}
    address = client.scheduler.address
    plains = [model(seed) for seed in range(2)]
    expected = [[plain(images(i)).numpy() for i in range(ROUNDS)] for plain in plains]
    with Client(address, set_as_default=False, direct_to_workers=True) as other:
        coded = [
            (m, fk.distribute(plains[m], own, transport=transport, **options))
            for m, (own, transport) in product(
                range(2), [(client, "direct"), (other, "tasks"), (other, "direct")]
            )
        ]

        def eager(m, mine):
            for i in range(ROUNDS):
                np.testing.assert_allclose(mine(images(i)), expected[m][i], atol=1e-5)

        def in_a_graph(m, mine):
            for i in range(ROUNDS):
                y = mine.predict_on_batch(images(i))
                np.testing.assert_allclose(y, expected[m][i], atol=1e-5)

        works = [
            lambda m=m, mine=mine, way=way: way(m, mine)
            for m, mine in coded
            for way in (eager, in_a_graph)
        ]
        with fk.trace(coded[0][1]) as trace:
            all_at_once(works)
        assert trace.local_convolutions == 0
        assert trace.distributed_convolutions == 2 * ROUNDS * 3
        all_at_once([lambda mine=mine: fk.close(mine) for _, mine in coded])


def test_models_are_made_and_closed_while_others_predict(client):
    plain = model(0)
    x, coded = images(0), fk.distribute(plain, client, fallback="raise")
    expected = plain(x).numpy()
    done = threading.Event()

    def predict():
        while not done.is_set():
            np.testing.assert_allclose(coded(x), expected, atol=1e-5)

    def make_and_close():
        try:
            for _ in range(ROUNDS):
                with fk.closing(fk.distribute(plain, client, fallback="raise")) as mine:
                    np.testing.assert_allclose(mine(x), expected, atol=1e-5)
        finally:
            done.set()

    all_at_once([predict, predict, make_and_close])
    fk.close(coded)

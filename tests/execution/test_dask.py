"""The Dask executor: what stands on scheduler and workers, and what is gone after."""

import gc

import keras
import numpy as np
import pytest
from distributed import Client

import fcdcc_keras as fk
from tests.waiting import until


def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(12, 3, padding="same", name="wide_one")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(10, 3, name="wide_two")(x))


def keys_on_workers(client):
    held = client.run(lambda dask_worker: [str(key) for key in dask_worker.data])
    return [key for keys in held.values() for key in keys if key.startswith("fcdcc")]


def bytes_on_workers(client):
    """Bytes of coded kernel in each worker's memory, by layer."""

    def measure(dask_worker):
        return {
            str(key).split(":")[2].split("-")[0]: value.arrays[0].nbytes
            for key, value in dask_worker.data.items()
            if str(key).startswith("fcdcc:kernel")
        }

    return client.run(measure)


@pytest.mark.parametrize("split", [(4, 4), (1, 6), (6, 1), (2, 6)])
def test_bytes_held_are_the_coded_part_of_the_kernel(client, split):
    code = fk.codes.get("crme")(*split, 4)
    plain = model()
    coded = fk.distribute(plain, client, stragglers=0, code=code)
    for held in bytes_on_workers(client).values():
        for name in ("wide_one", "wide_two"):
            kernel = plain.get_layer(name).kernel
            n = kernel.shape[-1]
            block = -(-n // code.k_b)
            assert held[name] == code.ell_b * block * kernel.numpy().nbytes // n
    coded.predict_on_batch(np.zeros((1, 24, 24, 3)))
    before = bytes_on_workers(client)
    assert all(len(held) == 2 for held in before.values())
    fk.close(coded)
    until(lambda: not keys_on_workers(client))


def test_keys_say_what_they_are(client):
    coded = fk.distribute(model(), client, transport="tasks")
    keys = keys_on_workers(client)
    assert len(keys) == 2 * 4
    assert all(key.startswith("fcdcc:kernel:wide_") for key in keys)
    seen = []
    get = client.get

    def spy(graph, keys, **kwargs):
        seen.append({key: graph.layers[key].annotations["workers"] for key in keys})
        return get(graph, keys, **kwargs)

    client.get = spy
    try:
        coded.predict_on_batch(np.zeros((1, 24, 24, 3)))
    finally:
        client.get = get
    addresses = [[address] for address in coded.layers[1].session.executor.addresses]
    assert list(seen[0].values()) == addresses  # one message for all
    assert all(key.startswith("fcdcc:conv:wide_one-") for key in seen[0])
    fk.close(coded)


def test_nothing_is_left_after_garbage_collection(client):
    coded = fk.distribute(model(), client)
    coded.predict(np.zeros((2, 24, 24, 3)), verbose=0)
    assert keys_on_workers(client)
    del coded
    until(lambda: gc.collect() >= 0 and not keys_on_workers(client))


def test_results_are_not_kept(client):
    coded = fk.distribute(model(), client)
    for _ in range(5):
        coded.predict_on_batch(np.zeros((1, 24, 24, 3)))
    until(lambda: len(keys_on_workers(client)) == 8)
    fk.close(coded)
    until(lambda: not keys_on_workers(client))
    assert not [key for key in client.futures if str(key).startswith("fcdcc")]


def test_dask_remembers_no_messages(client):
    # Its logs of sent messages would keep a thousand inputs for each worker.
    with fk.closing(fk.distribute(model(), client)) as coded:
        for _ in range(5):
            coded.predict_on_batch(np.zeros((1, 24, 24, 3)))
        remembered = client.run_on_scheduler(
            lambda dask_scheduler: [
                len(comm.recent_message_log)
                for comm in dask_scheduler.stream_comms.values()
            ]
        )
        assert remembered == [0] * 4
        assert not client.scheduler_comm.recent_message_log


def test_scheduler_address_and_cluster_object_are_accepted(client):
    x = np.random.default_rng(0).normal(size=(1, 24, 24, 3)).astype("float32")
    plain = model()
    for cluster in (client.scheduler.address, client.cluster):
        coded = fk.distribute(plain, cluster, workers=3, fallback="raise")
        own = coded.layers[1].session.executor.client
        assert own is not client
        np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
        fk.close(coded)
        assert own.status == "closed"
    assert client.status == "running"


def test_results_may_go_through_the_scheduler(client):
    with Client(client.scheduler.address, direct_to_workers=False) as indirect:
        plain = model()
        with fk.closing(fk.distribute(plain, indirect, fallback="raise")) as coded:
            x = np.ones((1, 24, 24, 3), "float32")
            np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)


def test_large_inputs_do_not_warn(client):
    # 24 MB for each worker; Dask warns from 10 MB on, and warnings are errors here.
    inputs = keras.Input((512, 512, 3))
    plain = keras.Model(inputs, keras.layers.Conv2D(2, 1, strides=8)(inputs))
    code = fk.codes.get("crme")(1, 4, 4)
    with fk.closing(fk.distribute(plain, client, stragglers=2, code=code)) as coded:
        x = np.random.default_rng(0).normal(size=(8, 512, 512, 3)).astype("float32")
        with fk.trace(coded) as trace:
            y = coded(x)
        np.testing.assert_allclose(y, plain(x), atol=1e-5)
    assert trace.local_convolutions == 0


def test_a_subtask_raises(client):
    plain = model()
    coded = fk.distribute(plain, client, stragglers=1, fallback="raise")
    placements = [layer.coded.place(layer.kernel_array()) for layer in coded.layers[1:]]
    for placement in placements:  # a share that cannot be convolved with the input
        wrong = client.scatter(
            {f"fcdcc:kernel:wrong-{id(placement)}": _share(np.zeros((1, 1, 99, 1)))},
            workers=[coded.layers[1].session.executor.addresses[2]],
        )
        placement.held[2] = placement.held[2][0], next(iter(wrong.values()))
    x = np.random.default_rng(0).normal(size=(1, 24, 24, 3)).astype("float32")
    with fk.trace(coded) as trace:
        for _ in range(3):
            np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
    assert all(2 not in record.survivors for record in trace.records)
    assert trace.local_convolutions == 0
    fk.close(coded)


def _share(array):
    from fcdcc_keras.worker.weights import Weights

    return Weights(array.astype("float32"))

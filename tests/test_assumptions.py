"""What is assumed of Keras, Dask and TensorFlow beyond their documentation.

One test for each assumption: with a version in which it is not so, that test fails by
name. And each is told to the user who has such a version.
"""

import asyncio
import inspect
import logging
import re
import signal
import socket
import sys
import zlib
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import distributed
import keras
import numpy as np
import pytest
import tensorflow as tf
from distributed import LocalCluster, Nanny, Worker
from distributed.protocol.serialize import Serialized

from fcdcc_keras import dask_internals
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.errors import ClusterError, FcdccError
from fcdcc_keras.execution.members import Members
from fcdcc_keras.layers import tensorflow_internals
from fcdcc_keras.layers.own_errors import let_marked_out, marked
from fcdcc_keras.rewriting import keras_internals
from fcdcc_keras.wire.connection import Connection
from fcdcc_keras.wire.message_logs import keep_no_messages
from fcdcc_keras.wire.requests import PlainRequests
from fcdcc_keras.worker import cut_off
from fcdcc_keras.worker.tensors import aligned_empty, as_array, as_tensor

HERE = Path(__file__).parent


# Dask


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and a worker in this process, which speak TCP."""
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def dask(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def worker(cluster):
    (worker,) = cluster.workers.values()
    return worker


@pytest.fixture
def ask(dask):
    """Runs something on the client's loop with requests of ours."""

    def ask(function):
        async def asking():
            requests = PlainRequests(dask)
            try:
                return await function(requests)
            finally:
                await requests.close()

        return dask.sync(asking)

    return ask


@pytest.mark.parametrize("op", dask_internals.SCHEDULER_OPS)
def test_a_scheduler_of_distributed_has_the_handler(op, cluster):
    assert op in cluster.scheduler.handlers, f"distributed: no handler {op!r}"


@pytest.mark.parametrize("op", dask_internals.WORKER_OPS)
def test_a_worker_of_distributed_has_the_handler(op, worker):
    assert op in worker.handlers, f"distributed: no handler {op!r}"


def test_nthreads_of_distributed_is_awaited_on_its_loop(dask, worker):
    found = dask.sync(dask_internals.workers_of, dask)
    assert found == {worker.address: 1}


def test_a_client_of_distributed_has_a_scheduler_until_it_is_closed(dask):
    assert dask_internals.scheduler_of(dask).address.startswith("tcp://")
    assert dask.status == "running", "distributed: `Client.status`"
    assert callable(dask.loop.add_callback), "distributed: `Client.loop`"
    assert dask.direct_to_workers is None, "distributed: `Client.direct_to_workers`"
    client = distributed.Client(dask.scheduler.address, set_as_default=False)
    client.close()
    assert client.status == "closed", "distributed: `Client.status`"
    with pytest.raises(dask_internals.ClosedError, match="must be open"):
        dask_internals.scheduler_of(client)


def test_requests_of_distributed_run_functions_and_answer_bytes(ask, worker):
    def fails():
        raise ValueError("as it must")

    def where(dask_worker):
        return dask_worker.address.encode()

    address = worker.address
    assert ask(lambda requests: requests.run(where, address)) == address
    assert "as it must" in ask(lambda requests: requests.run(fails, address))
    assert ask(lambda requests: requests.run(lambda: b"here")) == "here"


def test_results_of_distributed_come_in_frames_by_key(ask, dask):
    future = dask.submit(lambda: bytearray(b"result"), pure=False)
    future.result()
    keys = [future.key, "unknown"]
    answer = ask(lambda requests: requests.ask_scheduler("gather", keys=keys))
    assert "unknown" not in answer.get("data", {})
    answer = ask(lambda requests: requests.ask_scheduler("gather", keys=keys[:1]))
    pieces = dask_internals.frames_of(answer["data"][future.key])
    assert b"".join(frame for _, frame in pieces) == b"result"


def test_frames_of_distributed_tell_their_compression():
    kept = Serialized({"compression": ["zlib", None]}, [zlib.compress(b"one"), b"two"])
    (name, frame), other = dask_internals.frames_of(kept)
    assert (dask_internals.decompress(name, frame), other) == (b"one", (None, b"two"))
    wrapped = dask_internals.as_frames(b"three")
    assert dask_internals.frames_of(wrapped) == [(None, b"three")]


def test_a_handler_of_distributed_may_answer_later_by_itself(dask, worker):
    async def later(comm, number):
        async def answer():
            await comm.write({"number": number, "answer": "later"})

        worker.loop.add_callback(answer)
        return dask_internals.no_reply_yet()

    async def run():
        line = Connection(worker.address, dask_internals.connection_args(dask))
        try:
            return [(await line.ask("fcdcc_later"))["answer"] for _ in range(2)]
        finally:
            line.close()

    dask_internals.add_handler(worker, "fcdcc_later", later)
    assert dask.sync(run) == ["later", "later"], "distributed: `Status.dont_reply`"


def test_a_worker_of_distributed_has_data_by_key(dask, worker):
    future = dask.scatter({"fcdcc:test": b"share"}, workers=[worker.address])
    held = dask_internals.data_of(worker).get("fcdcc:test")
    assert held == b"share", "distributed: `Worker.data` has scattered data by key"
    assert future["fcdcc:test"].status == "finished"
    assert dask_internals.data_of(worker).get("fcdcc:none") is None


def test_threads_of_a_worker_of_distributed(dask, worker):
    dask_internals.check_worker(worker)
    assert dask_internals.threads_of(worker).submit(lambda: 5).result() == 5
    own = dask_internals.threads_of_this_worker
    assert dask.submit(own, pure=False).result() == 1
    assert own() is None


def test_a_worker_of_distributed_is_told_by_its_id(ask, worker):
    answers = ask(
        lambda requests: requests.ask_scheduler(
            "broadcast", msg={"op": "identity"}, workers=[worker.address]
        )
    )
    assert answers[worker.address]["id"] == dask_internals.process_of(worker)


def test_a_scheduler_of_distributed_tells_the_memory_of_workers(ask, worker):
    told = ask(lambda requests: requests.ask_scheduler("identity"))["workers"]
    paused, used, limit = dask_internals.memory_of(told[worker.address])
    assert (paused, limit) == (False, 0), "distributed: `memory_limit`, `status`"
    assert used > 1e6, "distributed: `metrics` of a worker's memory, in bytes"


def test_nannies_of_distributed_tell_whom_they_end_for_memory(monkeypatch):
    told = []
    module = distributed.worker_memory
    process = SimpleNamespace(
        rss=96, memory_info=lambda: process, pid=1, terminate=lambda: None
    )
    nanny = SimpleNamespace(
        status=distributed.core.Status.running,
        process=SimpleNamespace(process=process),
        worker_address="tcp://a:1",
        log_event=lambda topic, event: told.append((topic, event)),
    )
    manager = SimpleNamespace(
        memory_limit=100, memory_terminate_fraction=0.95, _last_terminated_pid=-1
    )
    monkeypatch.setattr(module.psutil, "Process", lambda pid: process)
    module.NannyMemoryManager.memory_monitor(manager, nanny)
    ((topic, event),) = told
    assert topic == dask_internals.ENDED_FOR_MEMORY, "distributed: topic of nannies"
    assert (event["worker"], event["rss"]) == ("tcp://a:1", 96)


def test_connections_of_distributed_can_be_kept_from_remembering(dask, cluster):
    def lengths():
        logs = [c.recent_message_log for c in cluster.scheduler.stream_comms.values()]
        return [log.maxlen for log in logs]

    async def with_another_worker():
        async with Worker(cluster.scheduler_address, nthreads=1):
            return lengths()

    dask.sync(keep_no_messages, dask)
    dask.submit(int, pure=False).result()
    assert lengths() == [0], "distributed: `BatchedSend.recent_message_log`"
    assert dask.scheduler_comm.recent_message_log.maxlen == 0
    # Those of workers that join later are made later.
    assert dask.sync(with_another_worker) == [0, 0]


def test_an_adaptive_cluster_of_distributed_says_its_minimum(cluster):
    assert dask_internals.adaptive_minimum(cluster) is None
    adaptive = cluster.adapt(minimum=1, maximum=1, interval="1 hour")
    try:
        assert dask_internals.adaptive_minimum(cluster) == 1
    finally:
        adaptive.stop()
    assert dask_internals.adaptive_minimum(None) is None


def test_a_cluster_of_distributed_has_its_processes(cluster, worker):
    assert isinstance(cluster, distributed.SpecCluster)
    assert dask_internals.processes_of(cluster) == [worker]


def test_addresses_are_read_by_distributed():
    assert dask_internals.port_of("tcp://127.0.0.1:8786") == 8786
    with pytest.raises(ValueError, match="missing port"):
        dask_internals.port_of("tcp://127.0.0.1")
    assert dask_internals.own_address("127.0.0.1") == "127.0.0.1"


def test_processes_of_distributed_say_why_they_close(dask, cluster):
    async def close(how):
        reasons = []
        worker = await Worker(cluster.scheduler_address, nthreads=1)
        dask_internals.note_why_closing(worker, reasons.append)
        await how(worker.address)
        await worker.finished()
        return reasons[0]

    async def drop(address):
        await cluster.scheduler.remove_worker(address, stimulus_id="test")

    async def retire(address):
        await cluster.scheduler.retire_workers([address])

    async def nannys():
        reasons = []
        nanny = Nanny(cluster.scheduler_address, nthreads=1)
        dask_internals.note_why_closing(nanny, reasons.append)
        nanny.handlers["close_gracefully"](reason="worker-heartbeat-missing")
        await nanny.close(reason="closed after that")
        return reasons[0]

    assert dask.sync(close, drop) in dask_internals.CUT_OFF
    assert dask.sync(close, retire) == "retired", "distributed: `closing_gracefully`"
    assert dask.sync(nannys) == "worker-heartbeat-missing"


@pytest.mark.parametrize("reason", sorted(dask_internals.CUT_OFF))
def test_distributed_has_the_reason_for_closing(reason):
    modules = distributed.worker, distributed.nanny, distributed.scheduler
    assert any(reason in inspect.getsource(module) for module in modules)


def test_the_worker_of_distributed_is_a_command_with_our_options():
    from distributed.cli import dask_worker

    known = {option for p in dask_worker.main.params for option in p.opts}
    known |= {option for p in dask_worker.main.params for option in p.secondary_opts}
    used = "nworkers nthreads memory-limit no-dashboard nanny no-nanny name preload"
    more = "preload-nanny tls-ca-file tls-cert tls-key host interface worker-port"
    network = "nanny-port listen-address contact-address scheduler-file"
    names = f"{used} {more} {network}".split()
    assert not {f"--{name}" for name in names} - known
    assert "standalone_mode" in inspect.signature(dask_worker.main.main).parameters


def test_the_command_of_distributed_leaves_the_wakeup_of_signals_alone():
    from distributed._signals import wait_for_signals

    async def signalled():
        waiting = asyncio.ensure_future(wait_for_signals())
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGTERM)
        return await waiting

    receiving, sending = socket.socketpair()
    with receiving, sending:
        sending.setblocking(False)
        before = signal.set_wakeup_fd(sending.fileno())
        try:
            assert asyncio.run(signalled()) == signal.SIGTERM
            receiving.settimeout(5)
            assert receiving.recv(1)[0] == signal.SIGTERM
        finally:
            signal.set_wakeup_fd(before)


# Keras


class Preset(keras.layers.Conv2D):
    def __init__(self, width, **options):
        super().__init__(2 * width, 3, **options)


class Holding(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.held = keras.layers.Dense(1)
        self.listed = [self.held]


def sequential():
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3)])


def test_a_functional_model_of_keras_has_the_class():
    x = keras.Input((2,))
    kind = type(keras.Model(x, x))
    assert kind is keras_internals.Functional, "keras: `keras.src.models.Functional`"

    class Own(kind):
        def __init__(self, size):
            x = keras.Input((size,))
            super().__init__(x, x)

    assert keras_internals.takes_graph(kind)
    assert not keras_internals.takes_graph(Own)


def test_configurations_of_keras_with_code_are_read_in_a_scope():
    config = keras.saving.serialize_keras_object(keras.layers.Lambda(lambda x: 2 * x))
    read = keras.saving.deserialize_keras_object
    with pytest.raises(ValueError, match="lambda"):
        read(config, safe_mode=True)
    kind, config = keras.layers.Lambda, config["config"]
    with keras_internals.trusting():
        assert kind.from_config(config).function(3) == 6


def test_keras_lists_the_layers_inside():
    model = sequential()
    conv = model.layers[0]
    first, *others = keras_internals.layers_inside(model)
    # Of what is built the input comes first, which `layers` leaves out.
    assert isinstance(first, keras.layers.InputLayer)
    assert others[0] is conv
    around = keras.Sequential([keras.Input((4, 4, 1)), model])
    assert conv not in keras_internals.layers_inside(around)
    assert conv in keras_internals.layers_inside(around, recursive=True)
    holding = Holding()
    assert keras_internals.layers_inside(holding) == [holding.held]


def test_keras_lists_what_attributes_have_in_its_own_lists():
    holding = Holding()
    where = [
        name
        for name, value in vars(holding).items()
        if value is holding.held or (isinstance(value, list) and holding.held in value)
    ]
    found = Counter(keras_internals.is_own_list(name) for name in where)
    assert found[False] == 2, f"keras: {where} have the layer"
    assert {"held", "listed"} <= set(where)


def test_keras_notes_each_use_of_a_layer():
    layer = keras.layers.Conv2D(2, 3)
    for size in (4, 6):
        layer(keras.Input((size, size, 1)))
    shapes = [(i.shape[1], o.shape[1]) for (i,), (o,) in keras_internals.uses(layer)]
    assert shapes == [(4, 2), (6, 4)], "keras: `Layer._inbound_nodes`"


def test_keras_notes_what_an_operator_was_given():
    inputs = keras.Input((2,))
    outputs = [inputs * 3.0, 3.0 - inputs, inputs + inputs]
    for output, expected in zip(
        outputs, [[inputs, 3.0], [3.0, inputs], [inputs, inputs]], strict=True
    ):
        given = keras_internals.arguments(keras_internals.origin(output), output)
        assert [id(g) if g is inputs else g for g in given] == [
            id(e) if e is inputs else e for e in expected
        ], "keras: `Operation._inbound_nodes` with `arguments`"


def test_a_tensor_of_keras_knows_its_layer():
    layer = keras.layers.Dense(1)
    inputs = keras.Input((2,))
    assert keras_internals.origin(layer(inputs)) is layer
    assert isinstance(keras_internals.origin(inputs), keras.layers.InputLayer)


def test_keras_notes_the_arguments_of_layers_and_compile():
    layer = Preset(3, activation="relu")
    assert keras_internals.noted_arguments(layer) == {"width": 3, "activation": "relu"}
    assert keras_internals.noted_arguments(Preset(3, bias_constraint=abs)) is None
    model = sequential()

    def loss(y, z):
        return y - z

    model.compile("sgd", loss)
    assert keras_internals.compile_arguments(model)["loss"] is loss


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv2D(2, 3, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(1, kernel_regularizer="l2"),
        keras.layers.Bidirectional(keras.layers.LSTM(2)),
    ],
    ids=lambda layer: layer.name,
)
def test_a_configuration_of_keras_is_read_from_attributes(layer):
    double = object.__new__(type(layer))
    vars(double).update(vars(layer))
    assert double.get_config() == layer.get_config()


def test_keras_wraps_no_other_methods_of_layers():
    layer = keras.layers.Conv2D(2, 3)
    own = {name for name, x in vars(layer).items() if callable(x)}
    methods = {name for name in own if callable(getattr(type(layer), name, None))}
    assert methods <= {"build", "quantize"}, "keras: wrapped methods of a layer"


# TensorFlow


def test_tensorflow_tells_that_it_saves(tmp_path):
    said = []

    class Model(keras.Model):
        def call(self, x):
            said.append(tensorflow_internals.saving())
            return x

    model = Model()
    model.predict_on_batch(np.zeros((1, 2)))
    assert True not in said
    model.export(str(tmp_path / "exported"), verbose=False)
    assert True in said, "tensorflow: `in_save_context` while a model is exported"


def test_tensorflow_makes_unknown_errors_of_python_exceptions():
    def fail(x):
        with marked():
            raise FcdccError("as it must")

    @tf.function
    def run(x):
        return tf.numpy_function(fail, (x,), x.dtype)

    let_marked_out()
    with pytest.raises(FcdccError, match=r"^as it must$"):
        run(tf.constant(1.0))


def test_tensorflow_takes_aligned_memory_as_it_is():
    array = aligned_empty((5, 3), np.dtype("float32"))
    array[...] = 1
    shared = as_array(as_tensor(array))
    assert np.shares_memory(array, shared), "tensorflow: memory aligned to 64 bytes"


# Where it is used


_BEYOND = re.compile(
    r"keras\.src|tensorflow\.python|from tensorflow import python"
    r"|(from|import) distributed\.(core|protocol|utils|batched|comm\.\w)"
    r"|(?<!self)\._(flatten_layers|layers|inbound_nodes|keras_history|auto_config|adaptive)\b"
    r"|(?<!self)\._(compile_config|build_shapes_dict|tracker|functional)\b"
    r"|recent_message_log|scheduler_comm|stream_comms|dont_reply|\bncores\b"
    r"|[a-z]\.(stream_)?handlers\b|\.executors\b|UnknownError\.__new__"
)
"""Names of parts that are not documented."""


def test_it_is_used_in_one_module_for_each():
    package = HERE.parent / "fcdcc_keras"
    found = [
        f"{file.relative_to(package)}: {line.strip()}"
        for file in sorted(package.rglob("*.py"))
        if not file.stem.endswith("_internals")
        for line in file.read_text("utf-8").splitlines()
        if _BEYOND.search(line)
    ]
    assert found == []


# Where it is not so


EMPTY = SimpleNamespace()


async def _nothing(*_):
    raise AssertionError


def _closing(**handlers):
    async def close(**_):
        raise AssertionError

    status = SimpleNamespace(name="running")
    return SimpleNamespace(
        close=close, status=status, handlers=handlers, stream_handlers={}
    )


@pytest.mark.parametrize(
    ("use", "lacking"),
    [
        (dask_internals.scheduler_of, EMPTY),
        (dask_internals.connection_args, EMPTY),
        (dask_internals.connection_of, EMPTY),
        (dask_internals.connections_from, EMPTY),
        (dask_internals.processes_of, EMPTY),
        (dask_internals.remember_nothing, [EMPTY]),
        (dask_internals.memory_of, {"status": "running"}),
        (dask_internals.check_worker, EMPTY),
        (dask_internals.check_worker, SimpleNamespace(data={})),
        (dask_internals.check_worker, SimpleNamespace(data={}, executors={})),
        (
            dask_internals.check_worker,
            SimpleNamespace(data={}, executors={"default": None}),
        ),
        (lambda x: dask_internals.add_handler(x, "name", _nothing), EMPTY),
        (lambda x: dask_internals.note_why_closing(x, print), _closing()),
        (
            lambda x: dask_internals.note_why_closing(x, print),
            _closing(terminate=_nothing),
        ),
    ],
)
def test_what_distributed_lacks_is_told(use, lacking):
    with pytest.raises(ClusterError, match="something that distributed does not") as e:
        use(lacking)
    assert f"Received: distributed {version('distributed')}" in str(e.value)


def test_a_look_at_workers_does_not_swallow_that_it_cannot_be_had():
    client = SimpleNamespace(scheduler=EMPTY, nthreads=dict)
    members = Members(client, Crew(["tcp://a:1"]), EMPTY)
    with pytest.raises(ClusterError, match=r"`Client\.nthreads` is awaited"):
        asyncio.run(members.look())


def test_a_loop_that_has_ended_is_not_waited_for():
    """It may end between taking something on and running it."""
    loop = asyncio.new_event_loop()
    client = SimpleNamespace(loop=SimpleNamespace(asyncio_loop=loop))

    async def work():
        raise AssertionError

    with pytest.raises(dask_internals.ClosedError, match="the loop has ended"):
        dask_internals.run_on_loop(client, work)
    loop.close()
    with pytest.raises(dask_internals.ClosedError, match="Event loop is closed"):
        dask_internals.run_on_loop(client, work)


def test_messages_that_distributed_keeps_otherwise_are_warned_of():
    client = SimpleNamespace(scheduler_comm=EMPTY)
    with pytest.warns(RuntimeWarning, match=r"stay in memory: .*recent_message_log"):
        asyncio.run(keep_no_messages(client))


def test_a_worker_that_cannot_come_back_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        cut_off.dask_setup(_closing())
    assert "does not come back when it is cut off" in caplog.text


@pytest.mark.parametrize(
    "use",
    [
        keras_internals.layers_inside,
        keras_internals.uses,
        lambda empty: keras_internals.arguments(empty, empty),
        keras_internals.origin,
        keras_internals.noted_arguments,
        keras_internals.compile_arguments,
    ],
)
def test_what_keras_lacks_is_told(use):
    with pytest.raises(FcdccError, match="something that keras does not") as error:
        use(EMPTY)
    assert f"Received: keras {keras.__version__}" in str(error.value)


def test_what_tensorflow_lacks_is_told(monkeypatch):
    module = "tensorflow.python.saved_model.save_context"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FcdccError, match="something that tensorflow does not"):
        tensorflow_internals.saving()


# Which versions


def test_the_lowest_versions_are_those_that_the_project_allows():
    least: dict[str, tuple[int, ...]] = {}
    project = (HERE.parent / "pyproject.toml").read_text("utf-8")
    for name, bound in re.findall(r'"([\w-]+)>=([\d.]+)', project):
        # Of two bounds, that of the package and that of its tests, the higher.
        found = tuple(map(int, bound.split(".")))
        least[name] = max(least.get(name, (0,)), found)
    lines = (HERE / "lowest.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    allowed = {name: ".".join(map(str, least[name])) + ".*" for name in pinned}
    assert pinned == allowed
    depended = project.partition("dependencies = [")[2].partition("]")[0]
    assert set(re.findall(r'"([\w-]+)>=', depended)) <= set(pinned)

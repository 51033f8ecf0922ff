"""What is assumed of Dask beyond its documentation.

One test for each assumption: with a version in which it is not so, that test fails by
name.
"""

import asyncio
import inspect
import platform
import signal
import socket
import zlib
from functools import partial
from pkgutil import resolve_name
from types import SimpleNamespace

import distributed
import pytest
from distributed import LocalCluster, Nanny, Worker
from distributed.protocol.serialize import Serialized

from fcdcc_keras import dask_internals, dask_worker_internals
from fcdcc_keras.wire.message_logs import keep_no_messages
from fcdcc_keras.wire.requests import PlainRequests
from fcdcc_keras.worker.command import _AS_THEY_ARE
from fcdcc_keras.worker.connection import Connection


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


def _where(dask_worker):
    return dask_worker.address.encode()


def test_requests_of_distributed_run_functions_and_answer_bytes(ask, worker):
    address, missing = worker.address, partial(resolve_name, "no_such_module:x")
    assert ask(lambda requests: requests.run(_where, address)) == address
    said = ask(lambda requests: requests.run(missing, address))
    assert said.startswith("ModuleNotFoundError(")  # as `cluster.probe` reads it
    assert ask(lambda requests: requests.run(partial(bytes, b"here"))) == "here"


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
        return dask_worker_internals.no_reply_yet()

    async def run():
        line = Connection(worker.address, dask_internals.connection_args(dask))
        try:
            return [(await line.ask("fcdcc_later"))["answer"] for _ in range(2)]
        finally:
            line.close()

    dask_worker_internals.add_handler(worker, "fcdcc_later", later)
    assert dask.sync(run) == ["later", "later"], "distributed: `Status.dont_reply`"


def test_a_worker_of_distributed_has_data_by_key(dask, worker):
    future = dask.scatter({"fcdcc:test": b"share"}, workers=[worker.address])
    held = dask_worker_internals.data_of(worker).get("fcdcc:test")
    assert held == b"share", "distributed: `Worker.data` has scattered data by key"
    assert future["fcdcc:test"].status == "finished"
    assert dask_worker_internals.data_of(worker).get("fcdcc:none") is None


def test_threads_of_a_worker_of_distributed(dask, worker):
    dask_worker_internals.check_worker(worker)
    assert dask_worker_internals.threads_of(worker).submit(lambda: 5).result() == 5
    own = dask_worker_internals.threads_of_this_worker
    assert dask.submit(own, pure=False).result() == 1
    assert own() is None


def test_a_worker_of_distributed_is_told_by_its_id(ask, worker):
    answers = ask(
        lambda requests: requests.ask_scheduler(
            "broadcast", msg={"op": "identity"}, workers=[worker.address]
        )
    )
    assert answers[worker.address]["id"] == dask_worker_internals.process_of(worker)


def test_a_scheduler_of_distributed_tells_the_memory_of_workers(ask, worker):
    told = ask(lambda requests: requests.ask_scheduler("identity"))["workers"]
    paused, used, limit = dask_internals.memory_of(told[worker.address])
    assert (paused, limit) == (False, 0), "distributed: `memory_limit`, `status`"
    assert used > 1e6, "distributed: `metrics` of a worker's memory, in bytes"


def test_a_scheduler_of_distributed_describes_workers(ask, worker):
    told = ask(lambda requests: requests.ask_scheduler("identity"))["workers"]
    described = dask_internals.described(told[worker.address])
    assert described == (str(worker.name), "127.0.0.1", "running", 1)


@pytest.fixture(params=["scheduler", "worker"])
def server(request, cluster, worker):
    """The address of either."""
    return cluster.scheduler_address if request.param == "scheduler" else worker.address


def test_servers_of_distributed_tell_versions(ask, server):
    answer = ask(lambda r: r.ask(server, "versions", packages=["nothing"]))
    told = dask_internals.versions_in(answer)
    assert told["distributed"] == distributed.__version__
    assert told["python"] == platform.python_version()
    assert told["nothing"] is None


def test_servers_of_distributed_echo_bytes(ask, server):
    assert ask(lambda r: r.ask(server, "echo", data=b"again")) == b"again"


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
        dask_worker_internals.note_why_closing(worker, reasons.append)
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
        dask_worker_internals.note_why_closing(nanny, reasons.append)
        nanny.handlers["close_gracefully"](reason="worker-heartbeat-missing")
        await nanny.close(reason="closed after that")
        return reasons[0]

    assert dask.sync(close, drop) in dask_internals.CUT_OFF
    assert dask.sync(close, retire) == "retired", "distributed: `closing_gracefully`"
    assert dask.sync(nannys) == "worker-heartbeat-missing"


def test_a_worker_of_distributed_says_when_its_time_is_over(worker):
    assert dask_worker_internals.lifetime_of(worker) == (None, False)


@pytest.mark.parametrize("reason", sorted(dask_internals.CUT_OFF))
def test_distributed_has_the_reason_for_closing(reason):
    modules = distributed.worker, distributed.nanny, distributed.scheduler
    assert any(reason in inspect.getsource(module) for module in modules)


def test_the_worker_of_distributed_is_a_command_with_our_options():
    from distributed.cli import dask_worker

    known = {option for p in dask_worker.main.params for option in p.opts}
    known |= {option for p in dask_worker.main.params for option in p.secondary_opts}
    used = "nworkers nthreads memory-limit no-dashboard nanny no-nanny name preload"
    used += " preload-nanny tls-ca-file tls-cert tls-key"
    names = {*used.split(), *_AS_THEY_ARE, "dashboard", "death-timeout"}
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

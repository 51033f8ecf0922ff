"""Users are told where a library is not as is assumed of it."""

import asyncio
import logging
import sys
from importlib.metadata import version
from types import SimpleNamespace

import keras
import pytest

from fcdcc_keras import dask_internals, dask_worker_internals
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.errors import ClusterError, FcdccError
from fcdcc_keras.execution.cluster.members import Members
from fcdcc_keras.layers import tensorflow_internals
from fcdcc_keras.rewriting import keras_internals
from fcdcc_keras.wire.message_logs import keep_no_messages
from fcdcc_keras.worker import cut_off

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
        (dask_internals.described, {"name": "board"}),
        (dask_internals.versions_in, {"packages": {"dask": "2024.12.0"}}),
        (dask_worker_internals.check_worker, EMPTY),
        (dask_worker_internals.check_worker, SimpleNamespace(data={})),
        (dask_worker_internals.check_worker, SimpleNamespace(data={}, executors={})),
        (
            dask_worker_internals.check_worker,
            SimpleNamespace(data={}, executors={"default": None}),
        ),
        (lambda x: dask_worker_internals.add_handler(x, "name", _nothing), EMPTY),
        (lambda x: dask_worker_internals.note_why_closing(x, print), _closing()),
        (
            lambda x: dask_worker_internals.note_why_closing(x, print),
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


def test_what_tensorflow_lacks_of_variables_is_told(monkeypatch):
    with pytest.raises(FcdccError, match="something that tensorflow does not"):
        tensorflow_internals.reading([EMPTY])
    monkeypatch.setitem(sys.modules, "tensorflow.python.eager.record", None)
    with pytest.raises(FcdccError, match="something that tensorflow does not"):
        tensorflow_internals.recording()

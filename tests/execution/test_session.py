"""What a model holds ends with it: once, wholly, and in a thread of its own."""

import gc
import threading

import pytest

from fcdcc_keras.execution.executors.local import LocalExecutor
from fcdcc_keras.execution.forward import session as sessions
from fcdcc_keras.execution.forward.session import Session
from fcdcc_keras.execution.records import Policy
from tests.waiting import until


def session(cleanup):
    return Session(LocalExecutor(2), cleanup, Policy())


def test_a_model_that_is_collected_ends_without_a_lock_being_taken(monkeypatch):
    """The garbage collector may run where any lock is held, that of threads too."""
    ended, where = threading.Event(), []

    def cleanup():
        where.append(threading.current_thread())
        ended.set()

    forgotten = session(cleanup)

    def refuse(*args, **kwargs):
        raise AssertionError("a thread is started")

    with monkeypatch.context() as patch:
        patch.setattr(sessions.threading, "Thread", refuse)
        del forgotten
        gc.collect()
        assert ended.wait(30)
    assert where != [threading.current_thread()]


def test_a_model_that_cannot_be_ended_does_not_keep_others_from_it(caplog):
    def fail():
        raise OSError("the scheduler is gone")

    ended = threading.Event()
    session(fail)
    session(ended.set)
    gc.collect()
    assert ended.wait(30)
    # Which of two is collected first is for Python to say.
    until(lambda: "the scheduler is gone" in caplog.text)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_it_is_closed_when_it_was_closed(error):
    """What was interrupted is done again, and what was done is not."""
    calls = []

    def cleanup():
        calls.append(None)
        if len(calls) == 1:
            raise error

    mine = session(cleanup)
    with pytest.raises(error):
        mine.close()
    assert not mine.closed
    mine.close()
    assert mine.closed
    mine.close()
    assert len(calls) == 2

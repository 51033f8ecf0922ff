"""NumPy's BLAS is kept to one thread while anyone is inside, and freed after."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from fcdcc_keras.coding.blas import single_threaded_blas


@pytest.fixture(autouse=True)
def _several_threads() -> Iterator[None]:
    with threadpool_limits(2, user_api="blas"):  # whatever the environment says
        yield


def _threads() -> int:
    assert np.ones(1)  # NumPy is loaded, and its BLAS with it
    (number,) = {
        library["num_threads"]
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }
    return number


def _threads_inside() -> int:
    with single_threaded_blas():
        return _threads()


@pytest.fixture
def elsewhere() -> Callable[[Callable[[], int]], int]:
    """Runs a function in a thread of its own."""

    def run(function: Callable[[], int]) -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function).result(30)

    return run


def test_the_limit_holds_inside_and_is_restored_after() -> None:
    before = _threads()
    assert before > 1
    assert _threads_inside() == 1
    assert _threads() == before


def test_the_limit_holds_until_the_outermost_is_left() -> None:
    before = _threads()
    with single_threaded_blas():
        assert _threads_inside() == 1
        assert _threads() == 1
    assert _threads() == before


def test_the_limit_is_restored_after_an_error() -> None:
    before = _threads()
    with pytest.raises(ZeroDivisionError, match="by zero"), single_threaded_blas():
        _ = 1 / 0
    assert _threads() == before
    assert _threads_inside() == 1


def test_what_is_restored_is_what_was_found() -> None:
    before = _threads()
    with threadpool_limits(1, user_api="blas"):
        assert _threads_inside() == 1
        assert _threads() == 1
    assert _threads() == before


def test_the_limit_holds_in_every_thread(elsewhere: Callable[..., int]) -> None:
    before = _threads()
    assert _threads_inside() == 1
    # Keras calls a coded layer in a thread of TensorFlow's.
    assert elsewhere(_threads_inside) == 1
    assert _threads() == before
    assert _threads_inside() == 1


def test_others_may_still_set_limits_of_their_own(
    elsewhere: Callable[..., int],
) -> None:
    before = _threads()
    assert _threads_inside() == 1

    def limited() -> int:
        with threadpool_limits(1, user_api="blas"):
            return _threads()

    assert elsewhere(limited) == 1
    assert _threads() == before


def test_the_limit_holds_while_any_thread_is_inside() -> None:
    before = _threads()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with single_threaded_blas():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    with single_threaded_blas():
        thread.start()
        assert inside.wait(30)
    # This thread has left, the other has not.
    assert _threads() == 1
    assert _threads_inside() == 1
    assert _threads() == 1
    leave.set()
    thread.join(30)
    assert not thread.is_alive()
    assert _threads() == before

"""The floor: bare sockets, and that nothing is left of them."""

import psutil
import pytest

from fcdcc_keras.bench.sockets import SocketPeers


def test_as_many_bytes_come_back_as_are_asked_for() -> None:
    children = set(psutil.Process().children())
    with SocketPeers(2, 300_000, 5) as peers:
        for _ in range(3):
            peers.exchange()
        assert len(set(psutil.Process().children()) - children) == 2
    assert set(psutil.Process().children()) <= children


def test_an_interrupt_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    children = set(psutil.Process().children())

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(socket, "create_connection", interrupted)
    with pytest.raises(KeyboardInterrupt):
        SocketPeers(2, 1, 1)
    assert set(psutil.Process().children()) <= children

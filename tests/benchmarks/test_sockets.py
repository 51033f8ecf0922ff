"""The floor: bare sockets, and that nothing is left of them."""

import psutil
import pytest

from benchmarks.figures.sockets import SocketPeers


@pytest.mark.parametrize("way", ["streams", "calls"])
def test_as_many_bytes_come_back_as_are_asked_for(way) -> None:
    children = set(psutil.Process().children())
    with SocketPeers(2, 300_000, 5, way) as peers:
        for _ in range(3):
            peers.exchange()
        assert len(set(psutil.Process().children()) - children) == 2
    assert set(psutil.Process().children()) <= children


@pytest.mark.parametrize("way", ["streams", "calls"])
def test_an_interrupt_leaves_nothing(way, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    children = set(psutil.Process().children())

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(socket, "create_connection", interrupted)
    with pytest.raises(KeyboardInterrupt):
        SocketPeers(2, 1, 1, way)
    assert set(psutil.Process().children()) <= children

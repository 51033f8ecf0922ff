"""The cluster that is started where none is given leaves nothing to the machine."""

import re
import signal
import sys
import tempfile
import weakref
from pathlib import Path

import psutil
import pytest
from distributed import Client

from fcdcc_keras.execution.cluster.embedded import (
    start_local_cluster,
    stop_local_cluster,
)
from tests.waiting import until


@pytest.mark.skipif(sys.platform != "linux", reason="reads what processes have mapped")
def test_no_semaphore_no_process_and_no_file_is_left(capfd):
    others = set(psutil.Process().children(recursive=True))  # of other tests' clusters
    client = start_local_cluster(1)
    try:
        processes = set(psutil.Process().children(recursive=True)) - others
        maps = "".join(Path(f"/proc/{p.pid}/maps").read_text() for p in processes)
        semaphores = {Path(p) for p in re.findall(r"/dev/shm/sem\.mp-\S+", maps)}
        assert semaphores  # a nanny has some
        (worker,) = client.scheduler_info(n_workers=-1)["workers"].values()
        folder = Path(worker["local_directory"]).parents[1]
        assert folder.parent == Path(tempfile.gettempdir())
        assert folder.exists()
    finally:
        stop_local_cluster(client)
    until(lambda: not any(path.exists() for path in semaphores))
    until(lambda: not any(process.is_running() for process in processes))
    assert not folder.exists()
    assert "resource_tracker" not in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="takes signals as Linux has them")
def test_who_interrupts_the_start_need_not_wait(monkeypatch):
    """Dask's client would close when Python ends, on a loop that has ended."""
    own, begun = Client._ensure_connected, []

    async def interrupted(self, timeout=None):
        begun.append(weakref.ref(self))
        signal.raise_signal(signal.SIGINT)  # in the main thread
        await own(self, timeout)

    monkeypatch.setattr(Client, "_ensure_connected", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start_local_cluster(1)
    client = begun[0]()
    assert client is None or client.status == "closed"

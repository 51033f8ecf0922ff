"""The doctor behind a firewall, in a network from which no way leads out."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from distributed import Client, LocalCluster

from cluster.edge_lab.syscalls import CLONE_NEWNET, unshare
from tests.doctor.examining import examined, named, of_kind, start

pytestmark = pytest.mark.usefixtures("patient")
IPTABLES = shutil.which("iptables") or shutil.which("iptables", path="/usr/sbin")
NOWHERE = "192.0.2.7:4000"
"""Of a network that is documentation's."""


def in_a_network_of_its_own(function):
    """Runs a function in a thread, as what a namespace of the network belongs to.

    What it starts is in there as well: threads, and programs.
    """

    def run():
        unshare(CLONE_NEWNET)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return function()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


@contextmanager
def dropping(*ports):
    """Has who connects to some ports dropped; in a network of its own only."""
    for port in ports:
        rule = f"INPUT -p tcp --syn --dport {port} -j DROP".split()
        subprocess.run([IPTABLES, "-w", "-A", *rule], check=True)
    yield
    subprocess.run([IPTABLES, "-w", "-F"], check=True)


@pytest.fixture(scope="module")
def _permitted():
    if IPTABLES is None:
        pytest.skip("iptables is not installed")

    def tried():
        with dropping(1):
            pass

    try:
        in_a_network_of_its_own(tried)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network with a firewall can be made here: {error}")


def on_its_way(said):
    """Returns the longest that connecting to anybody took, in seconds."""
    by = [one[by] for one in said["workers"] for by in ("by_client", "by_scheduler")]
    return max(touch["seconds"] for touch in by if touch is not None)


@pytest.mark.usefixtures("_permitted")
def test_workers_and_a_scheduler_behind_a_firewall():
    def examine():
        with (
            LocalCluster(
                n_workers=0,
                processes=False,
                protocol="tcp://",
                host="127.0.0.1",
                dashboard_address=None,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            address, started = cluster.scheduler_address, []
            client.sync(start, started, address, "kitchen", "cellar")
            far = {"contact_address": f"tcp://{NOWHERE}"}
            client.sync(start, started, address, "attic", **far)
            port = started[0].address.rpartition(":")[2]
            with dropping(port):
                workers = examined(address)
            with dropping(address.rpartition(":")[2]):
                door = examined(address)

            async def leave():
                for worker in started:
                    await worker.close(nanny=False)

            client.sync(leave)
            return port, workers, door

    port, workers, door = in_a_network_of_its_own(examine)
    assert named(workers) == {
        "unreachable": ["attic", "kitchen"],
        "too few": ["scheduler"],
    }
    said = of_kind(workers, "unreachable")
    assert "firewall" in said
    assert f"let port {port} of 127.0.0.1 through" in said
    assert "there is no way to the address that it gives" in said
    assert named(door) == {"scheduler: dropped": ["scheduler"]}
    # Linux itself gives up after two minutes.
    assert on_its_way(workers) < 60

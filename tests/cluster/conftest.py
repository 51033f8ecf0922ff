"""Starting programs that make labs, and looking for what they leave."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from cluster.edge_lab import check_requirements
from cluster.edge_lab.cgroups import find_controller
from cluster.edge_lab.isolation import with_packages
from cluster.edge_lab.protocol import MARK
from fcdcc_keras import ClusterError


@pytest.fixture
def start(tmp_path):
    """Starts programs whose temporary files would be seen."""
    try:
        check_requirements()
    except ClusterError as error:
        pytest.skip(str(error))
    started = []

    def popen(command):
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=with_packages({**os.environ, "TMPDIR": str(tmp_path)}),
            start_new_session=True,
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Runs a program; returns what it printed."""

    def wait(command, code=0):
        process = start(command)
        output, errors = process.communicate(timeout=250)
        assert process.returncode == code, errors
        return output if code == 0 else errors

    return wait


def lines(path):
    try:
        return {line for line in path.read_text().split("\0") if line}
    except OSError:  # it has just ended
        return set()


def traces():
    """What labs are made of, as this machine shows it."""
    ours, namespaces = set(), set()
    for process in Path("/proc").glob("[0-9]*"):
        marks = [x for x in lines(process / "environ") if x.startswith(f"{MARK}=")]
        if marks or "cluster.edge_lab.keeper" in lines(process / "cmdline"):
            ours.add(process.name)
        try:
            namespaces.add(os.readlink(process / "ns/net"))
        except OSError:
            continue
    named = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True)
    return {
        "processes": ours,
        "namespaces": namespaces,
        "named namespaces": set(named.stdout.split()),
        "interfaces": set(os.listdir("/sys/class/net")),
        "cgroups": set(find_controller().names()),
        "mounts": set(Path("/proc/self/mounts").read_text().splitlines()),
    }


@pytest.fixture
def no_traces(tmp_path):
    """Checks, when called and at the end, that nothing is there that was not."""
    before = traces()

    def check(seconds=60.0):
        deadline = time.monotonic() + seconds
        while True:
            left = {kind: found - before[kind] for kind, found in traces().items()}
            if not any(left.values()):
                break
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        assert not list(tmp_path.iterdir())

    yield check
    check()

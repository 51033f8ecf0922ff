"""The commands and scripts of README, run as they stand there."""

import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from distributed import Client

README = Path(__file__).parents[2] / "README.md"
ADDRESS = "192.168.1.10:8786"


def block(name):
    """The code block of README after the comment ``<!-- test: name -->``."""
    pattern = rf"<!-- test: {name} -->\n```\w+\n(.*?)```"
    found = re.search(pattern, README.read_text("utf-8"), re.DOTALL)
    assert found, f"README has no block {name!r}"
    return found[1].strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(line, stack):
    """Starts a command of README, with this environment's programs."""
    program, *arguments = shlex.split(line)
    path = Path(sys.executable).with_name(program)
    process = subprocess.Popen(
        [str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    stack.callback(end, process)
    return process


def end(process):
    process.terminate()
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        pytest.fail("it did not end when told to")


def run(script, timeout):
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=timeout
    )


def test_own_cluster_in_three_commands():
    address = f"127.0.0.1:{free_port()}"
    host, port = address.split(":")
    scheduler = block("scheduler").replace("192.168.1.10", host).replace("8786", port)
    assert len([line for line in block("script").splitlines() if line]) == 6
    with ExitStack() as stack:
        start(f"{scheduler} --dashboard-address 127.0.0.1:0", stack)
        for _ in range(3):
            start(block("worker").replace(ADDRESS, address), stack)
        with Client(f"tcp://{address}", set_as_default=False, timeout=60) as client:
            client.wait_for_workers(3, timeout=60)
        done = run(block("script").replace(ADDRESS, address), timeout=110)
        assert done.returncode == 0, done.stderr
        assert "(8, 1000)" in done.stdout


def test_embedded_example():
    done = run(block("embedded"), timeout=110)
    assert done.returncode == 0, done.stderr
    assert "13 of 22 layers are coded" in done.stdout
    assert "13 convolutions on workers, 0 in the client" in done.stdout

"""The commands and scripts of README, run as they stand there."""

import os
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from distributed import Client

from benchmarks.faults.places import free_port

ADDRESS = "192.168.1.10:8786"


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


def test_own_cluster_in_three_commands(documentation):
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    host, port = address.split(":")
    scheduler = (
        documentation.block("README.md", "scheduler")
        .replace("192.168.1.10", host)
        .replace("8786", port)
    )
    assert (
        len(
            [
                line
                for line in documentation.block("README.md", "script").splitlines()
                if line
            ]
        )
        == 6
    )
    with ExitStack() as stack:
        start(f"{scheduler} --dashboard-address 127.0.0.1:0", stack)
        for _ in range(3):
            start(
                documentation.block("README.md", "worker").replace(ADDRESS, address),
                stack,
            )
        with Client(f"tcp://{address}", set_as_default=False, timeout=60) as client:
            client.wait_for_workers(3, timeout=60)
        done = run(
            documentation.block("README.md", "script").replace(ADDRESS, address),
            timeout=110,
        )
        assert done.returncode == 0, done.stderr
        assert "(8, 1000)" in done.stdout


def test_embedded_example(documentation):
    done = run(documentation.block("README.md", "embedded"), timeout=110)
    assert done.returncode == 0, done.stderr
    assert "13 of 22 layers are coded" in done.stdout
    assert "13 convolutions on workers, 0 in the client" in done.stdout

"""The commands and scripts of README, run as they stand there."""

import os
import shlex
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from distributed import Client

from benchmarks.scheduler import free_port

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


def run(folder, script):
    file = folder / "script.py"
    file.write_text(script, "utf-8")
    done = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_cluster_in_three_commands(documentation, tmp_path):
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
        script = documentation.block("README.md", "script")
        assert "(8, 1000)" in run(tmp_path, script.replace(ADDRESS, address))


NOT_CLOSED = """
import psutil
small = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3)])
another = fk.distribute(small, workers=2, stragglers=0)
print("children:", *[child.pid for child in psutil.Process().children(recursive=True)])
"""


def test_embedded_example_needs_no_main_guard_and_leaves_nothing(
    documentation, tmp_path
):
    printed = run(tmp_path, documentation.block("README.md", "embedded") + NOT_CLOSED)
    assert "13 of 22 layers are coded" in printed
    assert "13 convolutions on workers, 0 in the client" in printed
    children = [int(pid) for pid in printed.partition("children:")[2].split()]
    assert len(children) >= 2
    for pid in children:
        with suppress(psutil.NoSuchProcess):
            assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

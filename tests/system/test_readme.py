"""The commands and scripts of README, run as they stand there but for large images."""

import os
import shlex
import subprocess
import sys
from contextlib import ExitStack, redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import psutil
import pytest
from distributed import Client

import fcdcc_keras as fk
from benchmarks.scheduler import free_port
from tests.lean_keras import LEAN

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
        script = documentation.block("README.md", "script")
        scope, printed = {}, StringIO()
        with redirect_stdout(printed):
            exec(script.replace(ADDRESS, address), scope)
        fk.close(scope["coded"])
        scope["client"].close()
        assert "(8, 1000)" in printed.getvalue()


SMALLER = {
    "VGG16(weights=None)": "VGG16(weights=None, input_shape=(64, 64, 3))",
    "(2, 224, 224, 3)": "(2, 64, 64, 3)",
}
"""What stands in the script, and what is run in its place."""
NOT_CLOSED = """
import psutil
small = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3)])
another = fk.distribute(small, workers=2, stragglers=0)
print("children:", *[child.pid for child in psutil.Process().children(recursive=True)])
"""


def test_embedded_example_needs_no_main_guard_and_leaves_nothing(
    documentation, tmp_path
):
    script = documentation.block("README.md", "embedded") + NOT_CLOSED
    for there, here in SMALLER.items():
        assert there in script
        script = script.replace(there, here)
    printed = run(tmp_path, LEAN + script)
    assert "13 of 22 layers are coded" in printed
    assert "13 convolutions on workers, 0 in the client" in printed
    children = [int(pid) for pid in printed.partition("children:")[2].split()]
    assert len(children) >= 2
    for pid in children:
        with suppress(psutil.NoSuchProcess):
            assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

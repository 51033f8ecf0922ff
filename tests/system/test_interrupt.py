"""Ctrl-C in the middle of a long prediction leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from tests.lean_keras import LEAN

SCRIPT = """
import faulthandler, signal
faulthandler.register(signal.SIGUSR1, all_threads=True)
import keras, numpy as np, psutil
import fcdcc_keras as fk

layers = [keras.layers.Conv2D(32, 3, padding="same") for _ in range(4)]
model = keras.Sequential([keras.Input((64, 64, 3)), *layers])
coded = fk.distribute(model, workers=2, stragglers=0)
children = psutil.Process().children(recursive=True)
print(*[child.pid for child in children], flush=True)
coded.predict(np.zeros((64, 64, 64, 3)), batch_size=1, verbose=0)
print("started", flush=True)
while True:
    coded.predict(np.zeros((640, 64, 64, 3)), batch_size=1, verbose=0)
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_script_with_local_workers_is_interrupted_or_killed(ending, tmp_path):
    log = tmp_path / "errors.txt"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", LEAN + SCRIPT],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) >= 2
    assert process.stdout.readline() == "started\n"
    try:
        # Of interrupts in the first moments of a prediction plain Keras, too, loses one
        # in a dozen, in its own finalizers and handlers: then one presses again.
        for _ in range(6):
            os.killpg(process.pid, ending)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break
        else:
            process.send_signal(signal.SIGUSR1)  # where does every thread stand?
            time.sleep(1)
            process.kill()
            pytest.fail(f"it did not end: {log.read_text()}")
        assert process.wait() != 0
    finally:
        process.stdout.close()
        process.wait()
    if ending == signal.SIGINT:
        said = log.read_text()
        assert "KeyboardInterrupt" in said.splitlines()
        for ignored in said.split("Exception ignored")[1:]:
            assert "fcdcc_keras" not in ignored.partition("KeyboardInterrupt")[0]
    deadline = time.monotonic() + 60
    while alive := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < deadline, f"still running: {alive}"
        time.sleep(0.1)


def _runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

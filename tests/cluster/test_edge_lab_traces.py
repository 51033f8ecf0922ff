"""Labs are gone without a trace, whatever ends them."""

import json
import os
import signal
import time

import pytest

from tests.cluster.programs import MODULE, lab_program

# Labs of other tests would be taken for traces of theirs.
pytestmark = pytest.mark.lab

_HOLD = """
with edge_lab(2, workers=False) as lab:
    lab.devices[0].start(["sh", "-c", "sleep 100 & sleep 100"])
    lab.devices[1].stop()
    print(lab.name, flush=True)
    {then}
"""


def test_nothing_is_left_after_an_error(run, no_traces):
    errors = run(lab_program(_HOLD.format(then="raise KeyError('mine')")), code=1)
    assert errors.endswith("KeyError: 'mine'\n")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_after_a_signal(ending, start, no_traces):
    process = start(lab_program(_HOLD.format(then="time.sleep(100)")))
    assert process.stdout.readline()
    os.killpg(process.pid, ending)
    assert process.wait(60) != 0
    no_traces()


def test_leftovers_of_a_crash_are_found_and_removed(start, run, no_traces):
    process = start(lab_program(_HOLD.format(then="time.sleep(100)")))
    name = process.stdout.readline().strip()
    assert json.loads(run([*MODULE, "status", "--json"])) == [
        {
            "name": name,
            "alive": True,
            "devices": [
                {"cpu": 0.25, "processes": 3},
                {"cpu": 0.25, "processes": 0},
            ],
        }
    ]
    os.kill(int(name), signal.SIGKILL)  # the keeper first, so that nobody cleans up
    process.kill()
    process.wait()
    assert f"Lab {name}: dead" in run([*MODULE, "status"])
    assert run([*MODULE, "clean"]) == f"Removed: {name}.\n"
    no_traces(1.0)
    assert run([*MODULE, "clean"]) == "Nothing was left.\n"


def test_nothing_is_left_when_the_keeper_is_killed(run, no_traces):
    then = """
    os.kill(int(lab.name), signal.SIGKILL)
    try:
        lab.run_on_device(0, ["true"])
    except ClusterError as error:
        assert "The lab must be up. Received: " in str(error)
    else:
        raise AssertionError
with edge_lab(1, workers=False) as lab:
    lab.run_on_device(0, ["true"])
"""
    run(lab_program("from fcdcc_keras import ClusterError", _HOLD.format(then=then)))


def test_interrupted_while_it_comes_up(start, no_traces):
    command = lab_program(
        "print('now', flush=True)\n", _HOLD.format(then="time.sleep(100)")
    )
    for delay in (0.0, 0.05, 0.1, 0.2):
        process = start(command)
        assert process.stdout.readline() == "now\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert errors.endswith("KeyboardInterrupt\n"), errors
        no_traces()


def test_labs_side_by_side(start, no_traces):
    command = lab_program(
        """
        with edge_lab(2, workers=False) as lab:
            print(lab.name, flush=True)
            sys.stdin.readline()
            where = lab.run_on_device(1, ["ip", "-brief", "address", "show", "eth0"])
            assert "198.18.0.11/24" in where.stdout
        """
    )
    both = [start(command), start(command)]
    names = {process.stdout.readline() for process in both}
    assert len(names) == 2
    for process in both:
        _, errors = process.communicate("go on\n", timeout=60)
        assert process.returncode == 0, errors

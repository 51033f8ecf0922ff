"""Real labs: cut off, as slow as asked for, and gone without a trace.

Programs that make labs run as processes of their own, for they must be isolated.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from cluster.edge_lab import check_requirements
from cluster.edge_lab.cgroups import find_controller
from cluster.edge_lab.isolation import with_packages
from cluster.edge_lab.protocol import MARK
from fcdcc_keras import ClusterError

try:
    check_requirements()
except ClusterError as error:
    pytestmark = pytest.mark.skip(reason=str(error))

_MODULE = [sys.executable, "-m", "cluster.edge_lab"]
_HEAD = """
import errno, json, os, signal, socket, subprocess, sys, time
from cluster.edge_lab import edge_lab, isolate, warm
"""
_BUSY = """
def share(seconds=1.0):
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() < wall + seconds:
        pass
    return (time.process_time() - cpu) / (time.perf_counter() - wall)
"""


def program(*parts):
    return [sys.executable, "-c", _HEAD + "".join(map(textwrap.dedent, parts))]


def lab_program(*parts):
    """Returns the command line of a program that may make labs."""
    return program("isolate()\n", *parts)


@pytest.fixture
def start(tmp_path):
    """Starts programs whose temporary files would be seen."""
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
        output, errors = process.communicate(timeout=100)
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

    def check(seconds=10.0):
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


_CUT_OFF = """
def check_cut_off(routes):
    with open("/proc/net/route") as table:
        found = [line.split()[:3] for line in table][1:]
    assert [(name, to, gateway) for name, to, gateway in found] == routes, found
    # Connecting a datagram socket looks for a route, and sends nothing.
    for address in ("192.0.2.1", "198.51.100.1", "203.0.113.1"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            assert probe.connect_ex((address, 9)) == errno.ENETUNREACH
    # So it is safe to try in earnest, with an address that nobody has.
    started = time.monotonic()
    with socket.socket() as probe:
        assert probe.connect_ex(("203.0.113.1", 9)) == errno.ENETUNREACH
    assert time.monotonic() - started < 1
"""


def test_no_packet_can_leave(run, no_traces):
    on_device = program(_CUT_OFF, "check_cut_off([('eth0', '000012C6', '00000000')])")
    run(
        lab_program(
            _CUT_OFF,
            f"""
            from fcdcc_keras import ClusterError
            check_cut_off([])
            with edge_lab(2, workers=False) as lab:
                check_cut_off([("edge-lab", "000012C6", "00000000")])
                lab.run_on_device(0, {on_device!r})
                try:
                    with edge_lab(1, workers=False):
                        raise AssertionError("a second lab")
                except ClusterError as error:
                    assert "one lab at a time. Received: a second" in str(error)
                check_cut_off([("edge-lab", "000012C6", "00000000")])
                lab.run_on_device(1, ["true"])
            check_cut_off([])
            with edge_lab(1, workers=False) as lab:
                lab.run_on_device(0, ["true"])
            """.replace("fk.", "__import__('fcdcc_keras')."),
        )
    )


_TRANSFER = """
SIZE, CHUNK = 8 << 20, bytes(1 << 16)

def send(connection):
    connection.recv(1)
    for _ in range(SIZE // len(CHUNK)):
        connection.sendall(CHUNK)

def receive(connection):
    left, started = SIZE, time.perf_counter()
    connection.sendall(b"!")
    while left:
        left -= len(connection.recv(min(left, 1 << 20)))
    # A link that has rested lets its burst through at once.
    return (SIZE - (128 << 10)) * 8e-6 / (time.perf_counter() - started)
"""


def test_links_carry_their_rate(run, no_traces):
    on_device = program(
        _TRANSFER,
        """
        with socket.create_connection(("198.18.0.1", 5000)) as connection:
            print(receive(connection), flush=True)
            send(connection)
            connection.recv(1)
        """,
    )
    out = run(
        lab_program(
            _TRANSFER,
            f"""
            def rates(lab):
                with lab.devices[1].start({on_device!r}, pipes=True) as device:
                    connection, _ = server.accept()
                    with connection:
                        send(connection)
                        down = float(device.stdout.readline())
                        return down, receive(connection)

            def best(lab, rate):
                found = []
                # A busy machine may starve either end for a while.
                while not found or len(found) < 8 and min(highest) < 0.85 * rate:
                    found.append(rates(lab))
                    highest = list(map(max, zip(*found)))
                print(json.dumps(highest))

            def attempt(lab, seconds):
                try:
                    socket.create_connection((lab.devices[1].host, 1), seconds)
                except OSError as error:
                    print(type(error).__name__)

            with (
                edge_lab(2, cpu=None, rate="200mbit", workers=False) as lab,
                socket.create_server(("198.18.0.1", 5000)) as server,
            ):
                best(lab, 200)
                lab.devices[1].set_rate("100mbit")
                best(lab, 100)
                lab.devices[1].link(False)
                attempt(lab, 0.5)
                lab.devices[1].link(True)
                attempt(lab, 5)
            """,
        )
    )
    *measured, down, up = out.splitlines()
    for rate, reached in zip((200, 100), map(json.loads, measured), strict=True):
        for direction in reached:
            assert 0.85 < direction / rate < 1.05, reached
    assert (down, up) == ("TimeoutError", "ConnectionRefusedError")


def test_quotas_hold(run, no_traces):
    busy = program(_BUSY, "print(share())")
    warming = program(_BUSY, "print(share(0.5)); warm(); print(share())")
    out = run(
        lab_program(
            f"""
            with edge_lab(2, cpu=0.25, workers=False) as lab:
                device, busy = lab.devices[0], {busy!r}
                say = lambda: print(device.quota, lab.run_on_device(0, busy).stdout)
                say()
                device.slow(2)
                say()
                device.slow(1)
                done = lab.run_on_device(0, {warming!r}, warm_up=True, timeout=20)
                print(device.quota, done.stdout)
            """
        )
    )
    rows = [list(map(float, line.split())) for line in out.split("\n\n") if line]
    (quarter, used), (eighth, less), (again, warm, cold) = rows
    assert (quarter, eighth, again) == (0.25, 0.125, 0.25)
    assert used == pytest.approx(0.25, rel=0.2)
    assert less == pytest.approx(0.125, rel=0.2)
    assert cold == pytest.approx(0.25, rel=0.2)
    assert warm > 0.35


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
    process = start(
        lab_program(
            "signal.signal(2, signal.default_int_handler)",
            _HOLD.format(then="time.sleep(100)"),
        )
    )
    assert process.stdout.readline()
    os.killpg(process.pid, ending)
    assert process.wait(20) != 0
    no_traces()


def test_leftovers_of_a_crash_are_found_and_removed(start, run, no_traces):
    process = start(lab_program(_HOLD.format(then="time.sleep(100)")))
    name = process.stdout.readline().strip()
    assert json.loads(run([*_MODULE, "status", "--json"])) == [
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
    assert f"Lab {name}: dead" in run([*_MODULE, "status"])
    assert run([*_MODULE, "clean"]) == f"Removed: {name}.\n"
    no_traces(1.0)
    assert run([*_MODULE, "clean"]) == "Nothing was left.\n"


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
    setting = "signal.signal(2, signal.default_int_handler)\nprint('now', flush=True)"
    command = lab_program(setting, _HOLD.format(then="time.sleep(100)"))
    for delay in (0.0, 0.05, 0.1, 0.2):
        process = start(command)
        assert process.stdout.readline() == "now\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
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
        _, errors = process.communicate("go on\n", timeout=20)
        assert process.returncode == 0, errors


def test_answers_arrive_while_a_device_is_stopped(run, no_traces):
    out = run(
        lab_program(
            """
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
            import keras, numpy as np
            import fcdcc_keras as fk

            keras.utils.set_random_seed(0)
            layers = [keras.layers.Conv2D(16, 3, padding="same") for _ in range(2)]
            model = keras.Sequential([keras.Input((40, 40, 3)), *layers])
            x = np.random.default_rng(0).normal(size=(2, 40, 40, 3))
            y = model.predict_on_batch(x)

            def check(calls):
                with fk.trace(coded) as trace:
                    for _ in range(calls):
                        answer = coded.predict_on_batch(x)
                        np.testing.assert_allclose(answer, y, atol=1e-5)
                assert trace.local_convolutions == 0
                return [set(record.survivors) for record in trace.records]

            with edge_lab(4, cpu=0.25, rate="200mbit", pin_client=0) as lab:
                assert os.sched_getaffinity(0) == {0}
                assert [device.quota for device in lab.devices] == [0.25] * 4
                address = lab.scheduler_address
                coded = fk.distribute(model, address, stragglers=1, fallback="raise")
                check(2)
                stopped = lab.devices[2]
                stopped.stop()
                addresses = coded.layers[0].session.executor.addresses
                index = addresses.index(stopped.address)
                assert all(index not in survivors for survivors in check(5))
                stopped.resume()
                fk.close(coded)
                # It comes back by another address, and is used.
                before = stopped.address
                stopped.kill()
                stopped.restart()
                assert stopped.address != before
                assert lab.device_at(stopped.address) is stopped
                coded = fk.distribute(model, address, workers=4, stragglers=0)
                assert set.intersection(*check(2)) == {0, 1, 2, 3}
                fk.close(coded)
            assert len(os.sched_getaffinity(0)) == os.cpu_count()
            print("done")
            """
        )
    )
    assert out == "done\n"


def test_run_ends_with_all_that_its_command_started(start, no_traces):
    command = """
        assert os.environ["EDGE_LAB_SCHEDULER"] == "tcp://198.18.0.1:8786"
        subprocess.Popen(["setsid", "sleep", "100"], stdout=subprocess.DEVNULL)
        print("started", flush=True)
        time.sleep(100)
        """
    lab = [*_MODULE, "run", "--devices", "1", "--cpu", "0.5", "--rate", "none", "--"]
    process = start([*lab, *program(command)])
    assert process.stdout.readline() == "started\n", process.stderr.read()
    process.kill()
    no_traces()


def test_up_is_held_for_other_programs(start, run, no_traces):
    process = start([*_MODULE, "up", "--devices", "1"])
    assert (
        ": 1 devices, scheduler at tcp://198.18.0.1:8786." in process.stdout.readline()
    )
    code = """
        from distributed import Client
        address = os.environ["EDGE_LAB_SCHEDULER"]
        with Client(address, set_as_default=False) as client:
            print(len(client.nthreads()))
        """
    assert run([*_MODULE, "exec", "--", *program(_CUT_OFF, code)]) == "1\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_run_returns_what_its_command_returns(run, no_traces):
    assert "nonsense" in run([*_MODULE, "isolate", "--", "nonsense"], code=1)
    run([*_MODULE, "isolate", "--", "sh", "-c", "exit 7"], code=7)

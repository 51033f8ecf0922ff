"""Real labs: cut off, and as slow as asked for."""

import json

import pytest

from tests.cluster.programs import CUT_OFF, lab_program, program

# Labs of other tests would be taken for traces of theirs.
pytestmark = pytest.mark.lab

_BUSY = """
def share(seconds=1.0):
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() < wall + seconds:
        pass
    return (time.process_time() - cpu) / (time.perf_counter() - wall)
"""


def test_no_packet_can_leave(run, no_traces):
    on_device = program(CUT_OFF, "check_cut_off([('eth0', '000012C6', '00000000')])")
    run(
        lab_program(
            CUT_OFF,
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


@pytest.mark.alone  # it measures
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


@pytest.mark.alone  # it measures
def test_quotas_hold(run, no_traces):
    busy = program(_BUSY, "print(share())")
    warming = program(_BUSY, "print(share(0.5)); warm(); print(share())")
    out = run(
        lab_program(
            f"""
            def best(argv, *least, **options):
                found = []
                # A busy machine may starve the device for a while.
                while not found or len(found) < 8 and any(map(less, highest, least)):
                    out = lab.run_on_device(0, argv, timeout=60, **options).stdout
                    found.append(list(map(float, out.split())))
                    highest = list(map(max, zip(*found)))
                print(json.dumps([lab.devices[0].quota, *highest]))

            from operator import lt as less
            with edge_lab(2, cpu=0.25, workers=False) as lab:
                best({busy!r}, 0.2)
                lab.devices[0].slow(2)
                best({busy!r}, 0.1)
                lab.devices[0].slow(1)
                best({warming!r}, 0.35, 0.2, warm_up=True)
            """
        )
    )
    (quarter, used), (eighth, less), (again, warm, cold) = map(
        json.loads, out.splitlines()
    )
    assert (quarter, eighth, again) == (0.25, 0.125, 0.25)
    assert used == pytest.approx(0.25, rel=0.2)
    assert less == pytest.approx(0.125, rel=0.2)
    assert cold == pytest.approx(0.25, rel=0.2)
    assert warm > 0.35


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
                assert set.union(*trace.summary().engines.values()) == {"light"}
                return [set(record.survivors) for record in trace.records]

            options = {"rate": "200mbit", "pin_client": 0, "engine": "light"}
            with edge_lab(4, cpu=0.25, **options) as lab:
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


def test_a_program_that_ends_before_it_is_warm_is_shown_with_its_error(run, no_traces):
    failing = program("sys.exit('no such model')")
    # What it has started has its output still.
    leaving = program("subprocess.Popen(['sleep', '100']); sys.exit('no such model')")
    forgetful = program("print('done')")
    out = run(
        lab_program(
            f"""
            from fcdcc_keras import ClusterError
            with edge_lab(1, workers=False, client="device") as lab:
                done = lab.run_on_device(0, {failing!r}, warm_up=True, check=False)
                assert (done.returncode, done.stderr) == (1, "no such model\\n"), done
                for command in ({failing!r}, {leaving!r}, {forgetful!r}):
                    try:
                        lab.run_on_client(command, warm_up=True)
                    except (subprocess.CalledProcessError, ClusterError) as error:
                        print(error)
            """
        )
    )
    failed, left, forgot = filter(None, out.splitlines())
    assert "exit status 1. It said: no such model" in failed
    assert "exit status 1. It said: no such model" in left
    assert "must call `cluster.edge_lab.warm()`. Received: " in forgot


def test_the_client_has_what_the_others_have(run, no_traces):
    out = run(
        lab_program(
            """
            from fcdcc_keras import ClusterError
            def links():
                shown = ["tc", "qdisc", "show", "dev"]
                command = [*shown, "eth0"]
                for device in (lab.devices[0], lab.client):
                    there = device.start(command, pipes=True).stdout.read()
                    here = subprocess.run(
                        [*shown, f"edge-lab{device.index}"],
                        capture_output=True, text=True, check=True,
                    ).stdout
                    yield [" ".join(x.split()[4:]) for x in (there, here)]

            options = {"cpu": 0.125, "rate": "200mbit", "workers": False}
            with edge_lab(1, client="device", **options) as lab:
                one, other = links()
                assert one == other and "rate 200Mbit" in one[0], one
                assert lab.devices[0].quota == lab.client.quota == 0.125
            with edge_lab(1, **options) as lab:
                try:
                    lab.run_on_client(["true"])
                except ClusterError as error:
                    print(error)
            """
        )
    )
    assert "Received: client='free'. Make the lab with client='device'." in out

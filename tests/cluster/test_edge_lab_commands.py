"""The commands of the edge lab, as a user runs them."""

import json
import signal

import pytest

from tests.cluster.programs import CUT_OFF, MODULE, program

# Labs of other tests would be taken for traces of theirs.
pytestmark = pytest.mark.lab


def test_run_ends_with_all_that_its_command_started(start, no_traces):
    command = """
        assert os.environ["EDGE_LAB_SCHEDULER"] == "tcp://198.18.0.1:8786"
        subprocess.Popen(["setsid", "sleep", "100"], stdout=subprocess.DEVNULL)
        print("started", flush=True)
        time.sleep(100)
        """
    lab = [*MODULE, "run", "--devices", "1", "--cpu", "0.5", "--rate", "none", "--"]
    process = start([*lab, *program(command)])
    assert process.stdout.readline() == "started\n", process.stderr.read()
    process.kill()
    no_traces()


def test_up_is_held_for_other_programs(start, run, no_traces):
    process = start([*MODULE, "up", "--devices", "1"])
    assert (
        ": 1 devices, scheduler at tcp://198.18.0.1:8786." in process.stdout.readline()
    )
    code = """
        from distributed import Client
        address = os.environ["EDGE_LAB_SCHEDULER"]
        with Client(address, set_as_default=False) as client:
            print(len(client.nthreads()))
        """
    assert run([*MODULE, "exec", "--", *program(CUT_OFF, code)]) == "1\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def test_the_client_is_on_a_device_of_its_own(run, no_traces):
    """As is the scheduler, beside it."""
    address = "tcp://198.18.0.11:8786"
    code = f"""
        from distributed import Client
        from cluster.edge_lab import is_isolated
        check_cut_off([("eth0", "000012C6", "00000000")])
        assert is_isolated()  # a program that isolates itself stays
        assert os.environ["EDGE_LAB_SCHEDULER"] == "{address}"
        assert os.environ["TF_NUM_INTRAOP_THREADS"] == "1"
        with Client("{address}", set_as_default=False) as client:
            assert len(client.nthreads()) == 1
        with open("/proc/self/cgroup") as lines:
            assert "-client\\n" in lines.read()
        status = subprocess.run({[*MODULE, "status", "--json"]}, capture_output=True)
        sys.exit(status.stdout.decode())
        """
    lab = [*MODULE, "run", "--devices", "1", "--cpu", "0.5", "--client", "device", "--"]
    (shown,) = json.loads(run([*lab, *program(CUT_OFF, code)], code=1))
    assert [device["cpu"] for device in shown["devices"]] == [0.5]
    # Scheduler, program, and what shows them.
    assert shown["client"] == {"cpu": 0.5, "processes": 3}


def test_run_returns_what_its_command_returns(run, no_traces):
    assert "nonsense" in run([*MODULE, "isolate", "--", "nonsense"], code=1)
    run([*MODULE, "isolate", "--", "sh", "-c", "exit 7"], code=7)

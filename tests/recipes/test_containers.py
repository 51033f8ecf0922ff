"""``cluster/containers``: built and run by podman, by what the README says."""

import json
import re

import pytest
from distributed import Client

import fcdcc_keras as fk
from benchmarks.scheduler import free_port
from fcdcc_keras.errors import ClusterError
from tests.recipes.podman import FOLDER

pytestmark = [
    pytest.mark.recipes,
    pytest.mark.timeout(3600),  # TensorFlow is installed
    # Of Python, and of what the client alone has.
    pytest.mark.filterwarnings("ignore:Mismatched versions"),
]
WORKERS = 4
LIGHT, CLIENT = "localhost/fcdcc-keras-light", "localhost/fcdcc-keras-client"


@pytest.fixture(scope="module")
def brought_up(podman, images, blocks, run_commands):
    """Runs the README's lines; gives the scheduler's address and what was printed."""
    port = str(free_port("127.0.0.1"))
    settings = {**podman.environment, "PORT": port, "WORKERS": str(WORKERS)}
    lines = blocks("cluster/containers/README.md")["up"]
    try:
        printed = run_commands(lines, folder=FOLDER, **settings)
        yield f"tcp://127.0.0.1:{port}", printed
    finally:
        down = "podman-compose --profile client down --volumes --timeout 1"
        run_commands(down, folder=FOLDER, **settings)


@pytest.fixture
def address(brought_up):
    return brought_up[0]


def test_the_readme_leads_to_predictions_that_are_equal(brought_up):
    printed = brought_up[1]
    assert re.search(r"predictions that differ\s+0 of 450", printed), printed
    assert f"{WORKERS} workers, any 1 may be missing" in printed


def test_workers_give_each_other_halos(address, exchange_halos):
    exchange_halos(address, WORKERS)


def test_a_client_in_the_network_has_them_do_so(podman, address):
    script = "fcdcc-keras doctor tcp://scheduler:8786 --json"
    run = "run", "--rm", "--network", "fcdcc_default", "--read-only", "--tmpfs", "/tmp"
    said = json.loads(podman(*run, CLIENT, *script.split()).stdout)
    assert [w["unexchanged"] for w in said["workers"]] == [""] * WORKERS
    assert all(worker["halo"] > 0 for worker in said["workers"])


@pytest.mark.parametrize("exchanging", [False, True])
def test_a_worker_is_killed_and_comes_back(podman, address, evaluate_while, exchanging):
    def strike(pids):
        podman.kill("fcdcc_worker_2")

    found = evaluate_while(address, strike, workers=WORKERS, exchanging=exchanging)
    failed = sum(c["failed"] > 0 for c in found.summary.outcomes.values())
    assert failed == 1 or exchanging  # then others have waited for it
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(WORKERS, timeout=120)


@pytest.mark.parametrize("exchanging", [False, True])
def test_a_worker_is_stopped_within_its_grace(
    podman, address, evaluate_while, exchanging
):
    name = "fcdcc_worker_3"

    def strike(pids):
        podman("stop", "--time", "30", name)

    evaluate_while(address, strike, workers=WORKERS, exchanging=exchanging)
    (ended,) = json.loads(podman("inspect", name).stdout)
    assert ended["State"]["ExitCode"] == 0  # it was not killed
    podman("start", name)


@pytest.mark.parametrize("exchanging", [False, True])
def test_a_worker_hangs(podman, address, evaluate_while, exchanging):
    name = "fcdcc_worker_4"
    try:
        evaluate_while(
            *(address, lambda pids: podman("pause", name)),
            **{"workers": WORKERS, "exchanging": exchanging},
        )
    finally:
        podman("unpause", name)


def test_all_are_healthy_and_confined(podman, address):
    for name in ("scheduler_1", *(f"worker_{i + 1}" for i in range(WORKERS))):
        podman("healthcheck", "run", f"fcdcc_{name}")
        script = "id -u; touch /home/fcdcc/x 2>&1; grep CapEff /proc/self/status"
        said = podman("exec", f"fcdcc_{name}", "sh", "-c", script).stdout
        assert said.startswith("10001\n")
        assert "Read-only file system" in said
        assert said.endswith("CapEff:\t0000000000000000\n")
    with Client(address, set_as_default=False) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        assert {worker["memory_limit"] for worker in workers} == {1 << 30}


@pytest.mark.parametrize("wrong", ["tcp://shceduler:8786", "tcp://scheduler:8687"])
def test_a_wrong_address_is_named(podman, address, wrong):
    command = ("fcdcc-keras", "worker", wrong, "--wait", "2")
    done = podman(
        "run", "--rm", "--network", "fcdcc_default", LIGHT, *command, check=False
    )
    assert done.returncode != 0
    assert wrong in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_of_another_version_is_named(podman, address, judged):
    file = podman.folder / "version.py"
    file.write_text('__version__, AS_BYTES = "0.0.1", b"0.0.1"\n')
    where = podman(
        *("exec", "fcdcc_worker_1", "python3", "-c"),
        "import fcdcc_keras.version as v; print(v.__file__)",
    ).stdout.strip()
    podman(
        *("run", "--rm", "--detach", "--name", "fcdcc-stale"),
        *("--network", "fcdcc_default", "--volume", f"{file}:{where}:ro", LIGHT),
        *("fcdcc-keras", "worker", "tcp://scheduler:8786", "--no-nanny"),
    )
    try:
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(WORKERS + 1, timeout=120)
            with pytest.raises(ClusterError, match=r"0\.0\.1"):
                fk.distribute(judged[0], client)
    finally:
        podman("stop", "--time", "5", "fcdcc-stale")

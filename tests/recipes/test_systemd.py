"""``cluster/systemd``: its units, under a systemd of their own; what installs them."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import Client

from benchmarks.scheduler import free_port
from tests.recipes import systemd
from tests.waiting import until

pytestmark = [
    pytest.mark.recipes,
    pytest.mark.skipif(
        bool(systemd.missing()), reason=f"not installed: {', '.join(systemd.missing())}"
    ),
]
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "cluster/systemd"
PAGE = "cluster/systemd/README.md"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))


@pytest.fixture
def install(tmp_path):
    """Runs the installation as the README says it, below a folder in place of /."""
    destination = tmp_path / "destination"
    (destination / "opt/fcdcc/bin").mkdir(parents=True)
    for name in ("python", "dask", "fcdcc-keras"):
        program = Path(sys.executable).with_name(name)
        file = destination / "opt/fcdcc/bin" / name
        file.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        file.chmod(0o755)

    def run(line, code=0):
        done = subprocess.run(
            ["sh", "-euc", line.replace("sudo ", "")],
            cwd=ROOT,
            env={**os.environ, "DESTDIR": str(destination), "FCDCC_PACKAGE": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return destination if code == 0 else done.stderr

    return run


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong(name, tmp_path):
    text = (FOLDER / name).read_text()
    here = text.replace("/opt/fcdcc/bin", str(Path(sys.executable).parent))
    file = tmp_path / name
    file.write_text(here.replace("/etc/fcdcc", str(FOLDER)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(file)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout  # an exposure of 2.0 of 10 at most


@pytest.mark.parametrize("script", ["systemd/install.sh", "slurm/job.sh"])
def test_shellcheck_finds_nothing_wrong(script):
    subprocess.run(["shellcheck", str(ROOT / "cluster" / script)], check=True)


def test_services_of_which_one_is_killed(
    install, blocks, tmp_path, evaluate_while, exchange_halos
):
    lines, port = blocks(PAGE), free_port("127.0.0.1")
    address = f"tcp://127.0.0.1:{port}"
    install(lines["scheduler"])
    there = install(lines["worker"].replace("tcp://192.168.1.10:8786", address))
    settings = there / "etc/fcdcc/fcdcc.env"
    text = settings.read_text()
    assert f"DASK_SCHEDULER_ADDRESS={address}\n" in text
    settings.write_text(
        text.replace(
            "--port 8786 --dashboard-address :8787",
            f"--host 127.0.0.1 --port {port} --dashboard-address 127.0.0.1:0",
        )
    )
    names = {"fcdcc-scheduler": "fcdcc-scheduler"}
    names |= {f"fcdcc-worker-{i}": "fcdcc-worker" for i in range(4)}
    with systemd.manager(tmp_path) as systemctl:
        for name, unit in names.items():
            text = (there / f"etc/systemd/system/{unit}.service").read_text()
            for folder in ("/opt/fcdcc", "/etc/fcdcc"):
                text = text.replace(folder, f"{there}{folder}")
            # A user's manager cannot make users; and Python may be in somebody's home.
            for setting in ("DynamicUser", "ProtectHome"):
                assert f"{setting}=yes" in text
                text = text.replace(f"{setting}=yes", f"{setting}=no")
            file = tmp_path / f"{name}.service"
            file.write_text(text)
            systemctl("link", "--runtime", str(file))
        # In no order: workers wait for their scheduler.
        for name in reversed(names):
            systemctl("start", name)

        def pid(name):
            return int(systemctl("show", "--property=MainPID", "--value", name))

        exchange_halos(address, 4)
        first = pid("fcdcc-worker-0")
        evaluate_while(address, lambda _: os.kill(first, signal.SIGKILL), workers=4)
        # It comes back.
        until(lambda: pid("fcdcc-worker-0") not in (0, first))
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(4, timeout=60)
        for name in names:
            systemctl("stop", name)
            how = systemctl("show", "--property=Result", "--value", name)
            assert how == "success", (name, how)  # no "timeout"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "Received: ''.*install.sh scheduler"),
        ("worker", "Received: 'worker'.*install.sh worker tcp://"),
        ("worker 192.168.1.10", "a host and a port.*Received: '192.168.1.10'"),
        ("client tcp://192.168.1.10:8786", "Received: 'client tcp"),
    ],
)
def test_what_cannot_be_installed_is_said(install, words, message):
    said = install(f"sh cluster/systemd/install.sh {words}", code=1)
    assert re.search(message, said, re.DOTALL), said

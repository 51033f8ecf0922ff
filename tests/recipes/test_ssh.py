"""``cluster/ssh``, on machines that are SSH servers of their own on loopback."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("asyncssh", reason="asyncssh is not installed")

from cluster.ssh.hosts import parse_hosts
from cluster.ssh.launch import ssh_cluster
from fcdcc_keras.errors import ClusterError
from tests.recipes import sshd
from tests.waiting import until

pytestmark = [
    pytest.mark.recipes,
    pytest.mark.skipif(
        bool(sshd.missing()), reason=f"not installed: {', '.join(sshd.missing())}"
    ),
]
NAMES = ("head", "one", "two", "three", "four")
HOSTS = "\n".join(f"{name} address=127.0.0.1" for name in NAMES)
QUIET = {"port": 0, "dashboard": "127.0.0.1:0"}


@pytest.fixture
def start(tmp_path):
    """Starts machines; gives them by name, and what SSH is to be configured by."""

    @contextmanager
    def started(*names):
        with sshd.machines(tmp_path, *names) as (machines, config):
            yield {machine.name: machine for machine in machines}, config

    return started


def assert_nothing_runs_on(machines):
    # A worker that was starting anew looks for its scheduler for a minute.
    until(lambda: not any(m.processes() for m in machines.values()), 120)


def test_a_machine_loses_power_in_the_middle_of_an_evaluation(
    start, evaluate_while, exchange_halos
):
    with start(*NAMES) as (machines, config):
        with ssh_cluster(parse_hosts(HOSTS), config=config, **QUIET) as cluster:
            there = cluster.scheduler_info["workers"].values()
            assert {worker["name"] for worker in there} == set(NAMES[1:])
            exchange_halos(cluster.scheduler_address, 4)
            found = evaluate_while(
                cluster.scheduler_address,
                lambda pids: machines.pop("two").lose_power(),
                workers=4,
            )
        assert sum(c["failed"] > 0 for c in found.summary.outcomes.values()) == 1
        assert_nothing_runs_on(machines)


@pytest.fixture
def at_home(start, tmp_path, monkeypatch):
    """Starts machines that this user's own SSH configuration names."""

    @contextmanager
    def started(names):
        cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        with start(*names) as (machines, config):
            (tmp_path / "home/.ssh").mkdir(parents=True)
            (tmp_path / "home/.ssh/config").write_bytes(config.read_bytes())
            yield machines
            assert_nothing_runs_on(machines)

    return started


def test_the_commands_of_the_readme(at_home, tmp_path, run_commands, blocks):
    lines = blocks("cluster/ssh/README.md")["run"]
    names = dict.fromkeys(re.findall(r"^(\S+) python=", lines, re.MULTILINE))
    lines = lines.replace("~/fcdcc/bin/python", sys.executable)
    for old, new in (("cluster.ssh ", "cluster.ssh --port 0 "), ("hosts", "$HOSTS")):
        assert old in lines
        lines = lines.replace(old, new)
    with at_home(names):
        said = run_commands(lines, HOSTS=str(tmp_path / "hosts"))
    assert re.search(r"predictions that differ +0 of 450", said), said


def test_dasks_own_cluster_as_documented(at_home, evaluate_while, blocks):
    code = blocks("docs/deploying.md")["ssh"]  # <!-- test: ssh -->
    assert "~/fcdcc/bin/python" in code
    names = re.findall(r"[\d.]{8,}", code)
    with at_home(names):
        exec(code.replace("~/fcdcc/bin/python", sys.executable), scope := {})
        with scope["cluster"] as cluster:
            # Its nanny starts it anew, within this machine.
            def strike(pids):
                os.kill(min(pids.values()), signal.SIGKILL)

            evaluate_while(cluster.scheduler_address, strike, workers=2)


@pytest.mark.parametrize("when", ["starting", "up"])
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_interrupted(start, tmp_path, when, ending):
    hosts = tmp_path / "hosts"
    hosts.write_text("head address=127.0.0.1\none workers=2 address=127.0.0.1")
    with start("head", "one") as (machines, config):
        program = subprocess.Popen(
            [
                *(sys.executable, "-m", "cluster.ssh", "--config", str(config)),
                *("--port", "0", "--dashboard-address", "127.0.0.1:0", str(hosts)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        def begun():
            return any("dask_spec" in line for line in machines["one"].commands())

        if when == "up":
            assert "2 workers, scheduler at tcp://127.0.0.1:" in (
                program.stdout.readline()
            )
        else:
            until(begun)
        program.send_signal(ending)
        errors = program.communicate(timeout=60)[1]
        assert_nothing_runs_on(machines)
        assert program.returncode in (0, 1, 130, 128 + ending), errors


def test_all_machines_that_lack_something_are_named_at_once(start, tmp_path):
    older = tmp_path / "older"
    older.write_text("#!/bin/sh\necho fcdcc_keras: 0.0.1\n")
    empty = tmp_path / "empty"
    empty.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    for file in (older, empty):
        file.chmod(0o755)
    names = ("head", "keyless", "unknown", "lacking", "other", "bare")
    with start(*names) as (machines, config):
        stranger = config.read_text().replace(
            f"Port {machines['keyless'].port}",
            f"Port {machines['keyless'].port}\n  IdentityFile {tmp_path / 'stranger'}",
        )
        # The first that is said holds, and a second key would be tried as well.
        stranger = stranger.replace("Host *", "Host * !keyless")
        stranger += f"Host keyless\n  UserKnownHostsFile {tmp_path / 'known_hosts'}\n"
        stranger += "Host nowhere\n  HostName nowhere.invalid\n"
        config.write_text(stranger)
        known = tmp_path / "known_hosts"
        known.write_text(
            "".join(
                line
                for line in known.read_text().splitlines(keepends=True)
                if f":{machines['unknown'].port} " not in line
            )
        )
        hosts = parse_hosts(
            "head address=127.0.0.1\nnowhere\nhead:1\nkeyless\nunknown\n"
            f"lacking python=/no/python\nother python={older}\nbare python={empty}\n"
        )
        with pytest.raises(ClusterError) as raised:
            with ssh_cluster(hosts, config=config, **QUIET):
                raise AssertionError("it has started")
        assert_nothing_runs_on(machines)
    said = dict(
        line.strip().split(": ", 1)
        for line in str(raised.value).splitlines()
        if line.startswith("  ")
    )
    wanted = {
        "nowhere": "No machine has this name",
        "head:1": "Nothing listens at SSH's port",
        "keyless": "ssh-copy-id keyless",
        "unknown": "accept it: ssh unknown",
        "lacking": "/no/python, does not run: .*(No such file|not found).*python=PATH",
        "other": "has fcdcc_keras 0.0.1, not .*install",
        "bare": "has no fcdcc_keras",
    }
    assert said.keys() == wanted.keys()
    for name, text in wanted.items():
        assert re.search(text, said[name]), said[name]


def test_a_worker_that_does_not_reach_its_scheduler_is_named(start, tmp_path):
    alone = tmp_path / "alone"
    alone.write_text(f'#!/bin/sh\nexec unshare -n {sys.executable} "$@"\n')
    alone.chmod(0o755)
    text = f"head address=127.0.0.1\none address=127.0.0.1\ntwo python={alone}"
    with start("head", "one", "two") as (machines, config):
        with pytest.raises(ClusterError, match=r"(?s)two.*reach.*tcp://127.0.0.1:\d+"):
            with ssh_cluster(parse_hosts(text), config=config, patience=15, **QUIET):
                raise AssertionError("it has started")
        assert_nothing_runs_on(machines)


@pytest.mark.parametrize(
    ("address", "port", "words"),
    [("198.18.0.1", 0, "Cannot assign|cannot assign"), ("127.0.0.1", 1, "taken")],
    ids=["another's address", "a port in use"],
)
def test_a_scheduler_that_does_not_start_is_named(start, address, port, words):
    with start("head") as (machines, config):
        settings = {**QUIET, "port": port and machines["head"].port}
        hosts = parse_hosts(f"head workers=1 address={address}")
        with pytest.raises(ClusterError, match=f"scheduler on head.*{words}"):
            with ssh_cluster(hosts, config=config, patience=20, **settings):
                raise AssertionError("it has started")
        assert_nothing_runs_on(machines)

"""What the edge lab refuses, and how it writes quotas; needs neither root nor Linux."""

import dataclasses
import subprocess
import sys

import pytest

from cluster.edge_lab import Settings, check_requirements, edge_lab, is_isolated
from cluster.edge_lab import requirements as module
from cluster.edge_lab.cgroups import Cgroup, Controller, find_controller
from fcdcc_keras import ClusterError

linux = pytest.mark.skipif(sys.platform != "linux", reason="cgroups are Linux's")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"devices": 0}, r"`devices` must be 1 to 200. Received: devices=0"),
        ({"devices": 201}, r"Received: devices=201"),
        ({"cpu": 0.0}, r"`cpu` must be 0.01 to .*Received: cpu=0.0"),
        ({"cpu": 1000.0}, r"Received: cpu=1000.0"),
        ({"rate": "fast"}, r"rate must be a number.*Received: rate='fast'.*200mbit"),
        ({"rate": "1gbit; reboot"}, r"Received: rate='1gbit; reboot'"),
        ({"latency": -1.0}, r"`latency` must be 0 to 10.*Received: latency=-1"),
        ({"pin_client": 1000}, r"`pin_client` must be one of the cores \[0"),
        ({"engine": "numpy"}, r"`engine` must be one of \('auto'.*engine='numpy'"),
        ({"client": "here"}, r"`client` must be one of \('free', .*client='here'"),
        ({"client": "device", "pin_client": 0}, r"share of a core. Received: pin_cli"),
    ],
)
@linux
def test_settings_that_cannot_be(wrong, message):
    with pytest.raises(ClusterError, match=message):
        dataclasses.replace(Settings(), **wrong)


@pytest.fixture
def satisfied(monkeypatch, tmp_path):
    """A machine where everything is there, to take one thing away from."""
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(module.shutil, "which", lambda tool: tool)
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "find_controller", lambda: Controller(tmp_path, 1))
    ok = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: ok)
    return monkeypatch


@linux
def test_what_a_lab_needs(satisfied):
    check_requirements()
    failed = subprocess.CompletedProcess([], 1, "", "unshare failed: not permitted\n")
    satisfied.setattr(module.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ClusterError, match=r"CAP_SYS_ADMIN.*Received: 'unshare fail"):
        check_requirements()
    satisfied.setattr(module.os, "geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match=r"Only root.*Received: user 1000.*sudo"):
        check_requirements()
    satisfied.setattr(
        module.shutil, "which", lambda tool: None if tool in ("tc", "ip") else tool
    )
    with pytest.raises(ClusterError, match=r"no ip and no tc.*apt install iproute2`"):
        check_requirements()
    satisfied.setattr(module.sys, "platform", "darwin")
    with pytest.raises(ClusterError, match=r"Received: .*'darwin'. Run it on Linux"):
        check_requirements()


@linux
def test_nobody_makes_labs_where_packets_can_leave(satisfied):
    assert not is_isolated()
    with pytest.raises(
        ClusterError, match=r"Begin.*isolate\(\)`, or start it by `pyth"
    ):
        edge_lab().__enter__()


@pytest.mark.parametrize(
    ("rows", "version", "where"),
    [
        (["cgroup {}/cpu cgroup rw,cpu,cpuacct 0 0"], 1, "cpu"),
        (["cgroup2 {}/unified cgroup2 rw 0 0"], 2, "unified"),
        # Both are mounted, the controller is with the second.
        (
            ["cgroup2 {}/empty cgroup2 rw 0 0", "cgroup {}/cpu cgroup rw,cpu 0 0"],
            1,
            "cpu",
        ),
    ],
)
def test_the_controller_is_found(tmp_path, rows, version, where):
    for name, controllers in (("unified", "cpuset cpu io\n"), ("empty", "\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.controllers").write_text(controllers)
    mounts = tmp_path / "mounts"
    rows = ["proc /proc proc rw 0 0", *(row.format(tmp_path) for row in rows)]
    mounts.write_text("\n".join(rows))
    assert find_controller(mounts) == Controller(tmp_path / where, version)
    mounts.write_text(rows[0])
    with pytest.raises(ClusterError, match=r"controller `cpu`, version 1 or 2. Recei"):
        find_controller(mounts)


def made(path, version, *names):
    path.mkdir()
    for name in names:
        (path / name).write_text("")
    return Cgroup(path, version)


@pytest.mark.parametrize(
    ("cpu", "quota", "period"),
    [(0.25, 1250, 5000), (0.1, 1000, 10_000), (2.0, 10_000, 5000), (None, None, 5000)],
)
def test_quotas_are_written(tmp_path, cpu, quota, period):
    # Files keep more than a cgroup's if what is written gets shorter: truncate.
    first = made(
        *(tmp_path / "first", 1, "cpu.cfs_burst_us"),
        *("cpu.cfs_quota_us", "cpu.cfs_period_us"),
    )
    second = made(tmp_path / "second", 2, "cpu.max", "cpu.max.burst")
    for cgroup in (first, second):
        cgroup.set_quota(cpu)
        assert cgroup.quota() == cpu
    assert (second.path / "cpu.max").read_text() == f"{quota or 'max'} {period}"
    assert (second.path / "cpu.max.burst").read_text() == str((quota or 0) // 2)
    assert (first.path / "cpu.cfs_period_us").read_text() == str(period)


def test_a_quota_that_is_not_taken_is_an_error(tmp_path):
    cgroup = made(tmp_path / "group", 2, "cpu.max.burst")
    (cgroup.path / "cpu.max").symlink_to("/dev/full")
    with pytest.raises(ClusterError, match=r"of 1250 of 5000 µs. Received: .*No space"):
        cgroup.set_quota(0.25)

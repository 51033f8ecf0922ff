"""Slurm on this machine alone: one node that is said to have sixteen cores."""

import os
import secrets
import shutil
import socket
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.scheduler import free_port
from tests.waiting import until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")


def missing():
    """What of the programs that this needs is not installed, or rights."""
    found = [name for name in PROGRAMS if not _program(name)]
    return found or ([] if os.geteuid() == 0 else ["root's rights"])


def _program(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


@contextmanager
def slurm(folder: Path):
    """Starts it; gives what its programs need in their environment."""
    folder.chmod(0o755)  # munge takes no socket in what others cannot enter
    for name in ("munge", "socket", "state", "spool"):
        (folder / name).mkdir(mode=0o755)
    key = folder / "munge/key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(1024))
    (folder / "munge").chmod(0o700)
    configuration = folder / "slurm.conf"
    configuration.write_text(_configuration(folder))
    environment = {"SLURM_CONF": str(configuration)}
    munge = folder / "socket/munge"
    daemons = [
        [
            *("munged", "--foreground", "--force", f"--key-file={key}"),
            *(f"--socket={munge}", f"--pid-file={folder}/munge/pid"),
            *(f"--seed-file={folder}/munge/seed", f"--log-file={folder}/munge/log"),
        ],
        ["slurmctld", "-D", "-f", str(configuration)],
        ["slurmd", "-D", "-f", str(configuration)],
    ]
    started = []
    try:
        for name, *options in daemons:
            with (folder / f"{name}.out").open("w") as log:
                started.append(
                    subprocess.Popen(
                        [_program(name), *options],
                        env={**os.environ, **environment},
                        stdout=log,
                        stderr=log,
                    )
                )
            until(munge.exists)

        def idle():
            done = subprocess.run(
                ["sinfo", "--noheader", "--format", "%T"],
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
            )
            return done.stdout.strip() == "idle"

        until(idle)
        yield environment
        subprocess.run(
            ["scancel", "--user", str(os.geteuid())], env={**os.environ, **environment}
        )
        until(idle)
    finally:
        for daemon in reversed(started):
            daemon.terminate()
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
            daemon.kill()
            daemon.wait()


def _configuration(folder):
    host = socket.gethostname()
    lines = {
        "ClusterName": "recipe",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": free_port("127.0.0.1"),
        "SlurmdPort": free_port("127.0.0.1"),
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder}/socket/munge",
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "slurmd.pid",
        "SlurmctldLogFile": folder / "slurmctld.log",
        "SlurmdLogFile": folder / "slurmd.log",
        # None of what needs cgroups.
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "SchedulerParameters": "bf_interval=1,sched_interval=1",
        "SlurmdParameters": "config_overrides",
        "ReturnToService": 2,
    }
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    return text + (
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=16000\n"
        "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        "PartitionName=short Nodes=ALL MaxTime=5 State=UP\n"
    )

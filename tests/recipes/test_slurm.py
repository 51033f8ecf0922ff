"""``cluster/slurm``, with a Slurm of its own on this machine."""

import gc
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cluster.slurm.jobs import options
from cluster.slurm.launch import slurm_cluster
from fcdcc_keras.errors import ClusterError
from tests.recipes import slurm
from tests.waiting import until

pytestmark = [
    pytest.mark.recipes,
    pytest.mark.skipif(
        bool(slurm.missing()), reason=f"not installed: {', '.join(slurm.missing())}"
    ),
    pytest.mark.skipif(
        find_spec("dask_jobqueue") is None, reason="dask-jobqueue is not installed"
    ),
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with slurm.slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture
def here(service, tmp_path, monkeypatch):
    """A folder to submit jobs from."""
    monkeypatch.chdir(tmp_path)
    for name, value in service.items():
        monkeypatch.setenv(name, value)
    yield tmp_path
    until(lambda: not squeue())


def squeue(form="%i %T %r"):
    return subprocess.run(
        ["squeue", "--noheader", "--format", form],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def asked(**changed):
    defaults = dict.fromkeys(("queue", "account", "interface"))
    return options(
        **{
            **defaults,
            **{"cpus": 1, "memory": "1GB", "walltime": "00:20:00"},
            **{"python": sys.executable, "host": "127.0.0.1"},
            **{"dashboard": "127.0.0.1:0", **changed},
        }
    )


def test_a_worker_is_killed_in_the_middle_of_an_evaluation(
    here, evaluate_while, exchange_halos
):
    with slurm_cluster(4, patience=120, **asked()) as cluster:
        exchange_halos(cluster.scheduler_address, 4)
        evaluate_while(
            cluster.scheduler_address,
            lambda pids: os.kill(min(pids.values()), signal.SIGKILL),
            workers=4,
        )


@pytest.mark.timeout(600)
def test_jobs_reach_their_walltime_during_an_evaluation(here, evaluate_while):
    """All four, two at a time: that of the others is cut when two new ones are there.

    Which of them are over their limit is so decided by nobody's speed. The evaluation
    goes on until all have been replaced.
    """
    with slurm_cluster(4, patience=120, **asked()) as cluster:
        jobs, first = [], set()

        def strike(pids):
            first.update(pids)
            jobs.extend(sorted(squeue("%i").split(), key=int))
            end_after_a_minute(jobs[:2])

        def renewed():
            new = len(set(cluster.scheduler_info["workers"]) - first)
            ended = len(reached_limit())
            if jobs and min(new, ended) >= 2:
                end_after_a_minute(jobs[2:])
                jobs.clear()
            return min(new, ended) >= 4

        found = evaluate_while(
            cluster.scheduler_address,
            strike,
            enough=renewed,
            workers=4,
            stragglers=2,
        )
    used = {a for a, c in found.summary.outcomes.items() if c["used"]}
    assert len(first) == 4
    assert len(used - first) >= 4


def end_after_a_minute(jobs):
    """Cuts the walltime of jobs to the shortest that Slurm knows."""
    for job in jobs:
        subprocess.run(
            ["scontrol", "update", f"jobid={job}", "timelimit=1"], check=True
        )


def reached_limit():
    """The jobs that Slurm has ended because their walltime was over."""
    logs = Path("slurm-logs").glob("*.err")
    return {log for log in logs if "DUE TO TIME LIMIT" in log.read_text()}


def test_the_jobs_of_the_readme(here, run_commands, blocks):
    lines = blocks("cluster/slurm/README.md")["jobs"]
    loopback = "--host 127.0.0.1 --dashboard-address 127.0.0.1:0 --jobs"
    said = run_commands(
        lines.replace("--jobs", loopback), PYTHONPATH=str(ROOT), folder=here
    )
    assert re.search(r"predictions that differ +0 of 450", said), said
    until(lambda: not squeue())


def submit(line, folder):
    """Submits a job as the README does; gives its number."""
    environment = {**os.environ, "FCDCC_BIN": str(Path(sys.executable).parent)}
    line = line.replace("cluster/slurm/job.sh", str(ROOT / "cluster/slurm/job.sh"))
    line = line.replace(
        "fcdcc-keras", f"{Path(sys.executable).with_name('fcdcc-keras')}"
    )
    done = subprocess.run(
        ["sh", "-euc", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return re.search(r"\d+", done.stdout)[0]


def test_the_one_job_of_the_readme(here, blocks):
    number = submit(blocks("cluster/slurm/README.md")["job"], here)
    until(lambda: not squeue(), 200)
    said = (here / f"slurm-{number}.out").read_text()
    assert re.search(r"predictions that differ +0 of 450", said), said
    assert not list(here.glob("scheduler-*"))


def test_a_worker_of_the_one_job_is_killed(here, evaluate_while):
    line = "sbatch --ntasks=4 cluster/slurm/job.sh sleep 600"
    number = submit(line, here)
    (file,) = until(lambda: list(here.glob("scheduler-*.json")))
    address = until(lambda: re.search(r"tcp://[^\"]+", file.read_text()))[0]
    evaluate_while(
        address,
        lambda pids: os.kill(min(pids.values()), signal.SIGKILL),
        workers=4,
    )
    subprocess.run(["scancel", number], check=True)
    until(lambda: not squeue())
    until(lambda: not list(here.glob("scheduler-*")))


# Dask-jobqueue leaves a cluster open whose scheduler did not start.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"queue": "nowhere"}, "invalid partition.*-p nowhere.*sinfo"),
        ({"memory": "999GB"}, "(?i)memory|configuration is not available.*--memory"),
        ({"host": "198.18.0.1"}, "annot assign.*198.18.0.1.*--host"),
        ({"interface": "ib7", "host": None}, "'ib7' is not a valid.*--interface"),
        ({"memory": "much"}, "much.*--memory"),
    ],
)
def test_what_slurm_would_not_take_is_said_at_once(here, changed, words):
    with pytest.raises(ClusterError, match=f"(?s){words}"):
        with slurm_cluster(1, patience=60, **asked(**changed)):
            raise AssertionError("it has started")
    gc.collect()


@pytest.mark.parametrize(
    ("changed", "jobs", "words"),
    [
        ({"python": "/no/python"}, 1, "has ended.*/no/python.*No such file.*err"),
        ({"queue": "short"}, 1, r"It waits \(PartitionTimeLimit\)"),
        ({"cpus": 9}, 2, r"Received: 1;.*It waits \((Resources|Priority)\).*--jobs"),
        ({"python": "unshare -n " + sys.executable}, 1, "runs on.*--interface.*err"),
    ],
    ids=["no such Python", "too long", "too little", "no route"],
)
def test_workers_that_are_missing_are_told_with_their_reasons(
    here, changed, jobs, words
):
    with pytest.raises(ClusterError, match=f"(?s){words}"):
        with slurm_cluster(jobs, patience=25, **asked(**changed)):
            raise AssertionError("it has started")

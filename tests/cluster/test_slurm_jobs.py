"""What Slurm is asked for, and what is said of jobs that do not become workers."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.slurm import cli, jobs


def asked(**changed):
    settings = dict.fromkeys(("queue", "account", "host", "interface"))
    settings |= {"cpus": 2, "memory": "1GB", "walltime": "00:30:00"}
    settings |= {"python": "/opt/python", "dashboard": ":8787", **changed}
    return jobs.options(**settings)


def test_a_job_is_one_worker_in_place_of_its_shell():
    given = asked(host="10.0.0.1", queue="short")
    assert (given["cores"], given["processes"]) == (2, 1)
    assert given["python"] == "exec /opt/python"
    assert given["worker_command"] == "fcdcc_keras.worker"
    assert given["worker_extra_args"] == ["--no-nanny"]
    assert given["queue"] == "short"
    assert given["scheduler_options"] == {
        "dashboard_address": ":8787",
        "host": "10.0.0.1",
    }
    assert "host" not in asked()["scheduler_options"]


def test_what_slurm_says_of_jobs_is_read():
    rows = "7|PENDING|Nodes required for job are DOWN, DRAINED|\n8|RUNNING|None|node3\n"
    logs = {n: (Path(f"logs/{n}.err"), "last") for n in ("7", "8", "9")}
    pending, running, gone = jobs.read_jobs(("7", "8", "9"), rows, logs)
    assert pending.reason == "Nodes required for job are DOWN, DRAINED"
    assert (pending.state, running.state, gone.state) == ("PENDING", "RUNNING", None)
    assert (running.node, gone.last) == ("node3", "last")


def test_every_missing_job_is_told_with_what_to_do():
    log = Path("logs/j.err")
    found = [
        jobs.SlurmJob("7", "PENDING", reason="Resources"),
        jobs.SlurmJob("8", "RUNNING", node="node3", log=log),
        jobs.SlurmJob("9", None, log=log, last="bash: /no/python: No such file"),
        jobs.SlurmJob("10", "SUSPENDED"),
    ]
    text = str(jobs.away(6, 2, 60, found))
    assert "6 jobs must have become workers within 60 s. Received: 2;" in text
    for line in (
        "job 7: It waits (Resources). See `squeue --start`",
        "job 8: It runs on node3 and has not joined.",
        "job 9: It has ended. Its last words: 'bash: /no/python: No such file'; all",
        "job 10: It is SUSPENDED",
    ):
        assert f"\n  {line}" in text
    assert text.count(str(log)) == 2


def test_the_command_needs_its_package_and_to_be_told_how_many(monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    done = CliRunner().invoke(cli.main, ["--jobs", "2"])
    assert done.exit_code == 1
    assert "pip install dask-jobqueue" in done.output
    for words in ([], ["--jobs", "0"], ["--jobs", "2", "--patience", "0"]):
        assert CliRunner().invoke(cli.main, words).exit_code == 2


@pytest.mark.parametrize("name", ["job.sh"])
def test_what_is_submitted_is_for_slurm(name):
    text = (Path(jobs.__file__).parent / name).read_text()
    assert text.startswith("#!/bin/bash\n#SBATCH ")

"""Debian's Prometheus scrapes a running cluster by what the documentation says."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
from distributed import Client

import fcdcc_keras as fk
from fcdcc_keras.monitoring.split import split

pytest.importorskip("prometheus_client")
pytestmark = pytest.mark.recipes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/monitoring.md").read_text("utf-8")
WITHIN = 120
"""Seconds for each step."""


def block(mark: str) -> str:
    """Returns the block of the page that stands below a mark."""
    found = re.search(rf"{re.escape(mark)}\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def get(url: str) -> dict:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=WITHIN) as answer:
        return json.load(answer)


def until(what, wanted=bool):
    """Returns what something gives, as soon as that is as wanted."""
    deadline = time.monotonic() + WITHIN
    while True:
        try:
            if wanted(found := what()):
                return found
        except (OSError, ValueError):
            found = None
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.fixture
def processes(tmp_path):
    """Starts programs, which end with the test."""
    started = []

    def start(*command):
        with (tmp_path / f"{len(started)}.log").open("w") as log:
            to = {"stdout": log, "stderr": log, "cwd": tmp_path}
            started.append(subprocess.Popen(command, **to))

    yield start
    for process in reversed(started):
        process.terminate()
    for process in started:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture
def scheduler(processes, tmp_path):
    """A scheduler and three workers, as processes: what it tells of itself."""
    file = tmp_path / "scheduler.json"
    run = [sys.executable, "-m"]
    processes(
        *(*run, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"),
        *("--dashboard-address", "127.0.0.1:0", "--scheduler-file", file),
        *("--preload", "fcdcc_keras.monitoring.preload"),
    )
    told = until(lambda: json.loads(file.read_text()))
    program = Path(sys.executable).with_name("fcdcc-keras")
    for _ in range(3):
        processes(program, "worker", told["address"])
    return told


@pytest.fixture
def ask(processes, scheduler, tmp_path):
    """Asks a Prometheus that reads the page's configuration."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: apt install prometheus")
    configuration = block("<!-- test: prometheus -->")
    place = f"127.0.0.1:{scheduler['services']['dashboard']}"
    assert "192.168.1.10:8787" in configuration
    path = tmp_path / "prometheus.yml"
    path.write_text(configuration.replace("192.168.1.10:8787", place))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = f"127.0.0.1:{free.getsockname()[1]}"
    processes(
        program,
        f"--config.file={path}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={own}",
    )

    def asking(query: str) -> dict:
        said = urllib.parse.urlencode({"query": query})
        found = get(f"http://{own}/api/v1/query?{said}")["data"]["result"]
        return {
            tuple(sorted(each["metric"].items())): float(each["value"][1])
            for each in found
        }

    return asking


def exchanged(trace) -> bool:
    """Whether the trace has workers that have waited for each other's halos."""
    return any(
        record.subtasks and all(task.waited > 0 for task in record.subtasks)
        for record in trace.records
    )


def expected(trace) -> list[Counter]:
    """Returns the trace's numbers, as each query gives them."""
    answers, seconds, received = Counter(), Counter(), Counter()
    for record in trace.records:
        for stage, took in asdict(split(record)).items():
            seconds[(("stage", stage),)] += took
        for task in record.subtasks:
            answers[("outcome", task.outcome), ("worker", task.address)] += 1
            received[(("worker", task.address),)] += task.bytes_received
    return [answers, seconds, received]


@pytest.mark.parametrize("how", ["coded", "halos"])
def test_three_queries_give_the_traces_numbers(how, scheduler, ask, judged, halos):
    layers = [keras.layers.Conv2D(8, 3, name=name) for name in ("first", "second")]
    model, plan = keras.Sequential([keras.Input((16, 16, 3)), *layers]), None
    if how == "halos":
        model, _ = judged
        plan = halos(model, 3)
    images = np.ones((2, *model.input_shape[1:]), "float32")
    with Client(scheduler["address"], set_as_default=False) as client:
        client.wait_for_workers(3, timeout=WITHIN)
        with fk.closing(fk.distribute(model, client, stragglers=1, plan=plan)) as coded:

            def called():
                coded.predict_on_batch(images)
                return how == "coded" or exchanged(trace)

            with fk.trace(coded) as trace:
                for _ in range(5):
                    until(called)
            until(
                lambda: all(
                    task.received is not None or task.outcome in ("skipped", "failed")
                    for record in trace.records
                    for task in record.subtasks
                )
            )
    queries = block("<!-- test: queries -->").splitlines()
    numbers = expected(trace)
    assert len(queries) == len(numbers) == 3
    for query, wanted in zip(queries, numbers, strict=True):
        wanted = {labels: number for labels, number in wanted.items() if number}

        def found(query=query):
            return {labels: n for labels, n in ask(query).items() if n}

        until(found, lambda got, wanted=wanted: got == pytest.approx(wanted))
    # The workers are found by themselves: warmed up, then five times two layers.
    workers = until(
        lambda: ask("fcdcc_worker_subtasks_total"), lambda got: len(got) == 3
    )
    sent = [t for record in trace.records for t in record.subtasks if t.bytes_sent]
    rehearsals = sum(workers.values()) - (3 + len(sent))
    assert rehearsals == 0 or (how == "halos" and rehearsals >= 3)

"""Figures as a running cluster serves them, beside the trace of the same calls."""

import json
import re
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.monitoring.fates import fates
from fcdcc_keras.monitoring.figures import Figures
from fcdcc_keras.monitoring.messages import Told
from fcdcc_keras.monitoring.split import STAGES, split
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from tests.monitoring.records import layer, share
from tests.monitoring.test_totals import tallied
from tests.waiting import until

pytest.importorskip("prometheus_client")


def fetched(address: str, path: str) -> SimpleNamespace:
    # No proxy: the servers are on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}{path}", timeout=60) as answer:
        text = answer.read().decode(errors="replace")
        return SimpleNamespace(url=answer.url, text=text, headers=answer.headers)


def samples(address: str) -> Counter:
    """Returns what a server's ``/metrics`` has of ours, by name and labels."""
    from prometheus_client.parser import text_string_to_metric_families

    found = Counter()
    for family in text_string_to_metric_families(fetched(address, "/metrics").text):
        for sample in family.samples:
            if sample.name.startswith("fcdcc_") and sample.name.endswith("_total"):
                labels = tuple(sorted(sample.labels.items()))
                found[sample.name, labels] = sample.value
    return found


def traced(trace) -> Counter:
    """Returns the same of a trace's records, without the role."""
    found = Counter()

    def add(name, number, **labels):
        found[f"{name}_total", tuple(sorted(labels.items()))] += number

    for record in trace.records:
        for stage, seconds in zip(STAGES, vars(split(record)).values(), strict=True):
            add("stage_seconds", seconds, layer=record.layer, stage=stage)
        by = "workers" if record.local is None else "client"
        add("micro_batches", 1, layer=record.layer, by=by)
        for task in record.subtasks:
            add("answers", 1, worker=task.address, outcome=task.outcome)
            add("redistributed", task.redistributed, worker=task.address)
            add("sent_bytes", task.bytes_sent, worker=task.address)
            add("received_bytes", task.bytes_received, worker=task.address)
    return found


def assert_same(found: Counter, expected: Counter, role: str) -> None:
    given = {
        (name.removeprefix(f"fcdcc_{role}_"), labels): value
        for (name, labels), value in found.items()
        if name.startswith(f"fcdcc_{role}_") and value
    }
    assert given == pytest.approx({k: v for k, v in expected.items() if v})


@pytest.fixture(scope="module")
def model():
    layers = [keras.layers.Conv2D(8, 3, name=f"served_{n}") for n in "ab"]
    return keras.Sequential([keras.Input((12, 12, 3), name="pixels"), *layers])


@pytest.fixture(scope="module")
def run(client, model):
    """Calls that were served, with what was before and is behind them."""
    scheduler = client.cluster.scheduler
    port = scheduler.http_server.port
    address = f"127.0.0.1:{port}"
    with fk.closing(fk.distribute(model, client, stragglers=1)) as coded:
        targets = json.loads(fetched(address, "/fcdcc/targets").text)
        workers = [t["targets"][0] for t in targets if t["labels"]["role"] == "worker"]
        with fk.metrics() as served:
            own = f"127.0.0.1:{served.port}"
            before = {where: samples(where) for where in (address, own, *workers)}
            with fk.trace(coded) as trace:
                for _ in range(3):
                    coded.predict_on_batch(np.ones((2, 12, 12, 3), "float32"))
                wait_for_answers(trace)
            here = samples(own)
    # A model that is closed has told all.
    after = {where: samples(where) for where in (address, *workers)} | {own: here}
    return SimpleNamespace(
        trace=trace,
        scheduler=after[address] - before[address],
        client=after[own] - before[own],
        workers=[after[where] - before[where] for where in workers],
        address=address,
        targets=targets,
    )


def wait_for_answers(trace) -> None:
    tasks = [task for record in trace.records for task in record.subtasks]
    late = [task for task in tasks if task.outcome == "late"]
    until(lambda: all(task.received is not None for task in late))


def test_the_scheduler_has_the_traces_figures(run) -> None:
    assert len(run.trace.records) == 6
    assert_same(run.scheduler, traced(run.trace), "scheduler")


def test_the_client_has_them_on_request(run) -> None:
    assert_same(run.client, traced(run.trace), "client")


def test_workers_count_what_they_compute(run) -> None:
    told = [task for record in run.trace.records for task in record.subtasks]
    sent = [task for task in told if task.bytes_sent]
    whole = sum(run.workers, Counter())

    def sums(name):
        return sum(n for (key, _), n in whole.items() if key == f"fcdcc_worker_{name}")

    assert sums("subtasks_total") == len(sent)
    assert sums("received_bytes_total") == sum(task.bytes_sent for task in sent)
    assert sums("sent_bytes_total") == sum(task.bytes_received for task in sent)
    took = sum(task.finished - task.started for task in sent)
    assert sums("compute_seconds_total") == pytest.approx(took)
    assert sums("failed_subtasks_total") == 0


def test_prometheus_finds_scheduler_and_workers(run) -> None:
    roles = Counter(target["labels"]["role"] for target in run.targets)
    assert roles == {"scheduler": 1, "worker": 4}
    assert run.targets[0]["targets"] == [run.address]


def _hold(begin):
    """Runs on a worker: has it wait with what it computes, or go on."""
    import threading

    from fcdcc_keras.worker import handler
    from fcdcc_keras.worker.weights import Weights

    if begin:
        go, own = threading.Event(), Weights.run
        Weights.held = go, own, handler.INLINE
        handler.INLINE = 0  # on its loop it would not hear that it may go on

        def run(*args):
            go.wait(60)
            return own(*args)

        Weights.run = run
    else:
        go, Weights.run, handler.INLINE = Weights.held
        go.set()


@pytest.mark.parametrize("transport", ["direct", "tasks"])
@pytest.mark.parametrize("tiles", [False, True])
def test_subtasks_are_seen_while_they_are_under_way(
    client, model, tiles, transport
) -> None:
    chain = StretchPlan("", "pixels", (12, 12), (ChainPlan("served_b", "workers"),))
    how = {"plan": Plan(model.name, 4, 0, (), stretches=(chain,))} if tiles else {}
    name = "served_a … served_b" if tiles else "served_a"
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("float32")

    def seen():
        ledger.look()
        return ledger.under_way

    options = {"stragglers": 0, "fallback": "raise", "transport": transport, **how}
    with fk.closing(fk.distribute(model, client, **options)) as coded:
        coded.predict_on_batch(x)
        ledger = client.cluster.scheduler.plugins[Figures.name].ledger
        client.run(_hold, True)
        try:
            predicting = ThreadPoolExecutor(1).submit(coded.predict_on_batch, x)
            (going,) = until(seen)
        finally:
            client.run(_hold, False)
        np.testing.assert_allclose(
            predicting.result(60), model.predict_on_batch(x), atol=1e-5
        )
        assert going.layer == name
        workers = set(client.scheduler_info(n_workers=-1)["workers"])
        assert {task.address for task in going.subtasks} == workers
        assert set(fates(going)) == {"running"}
        until(lambda: not seen())
    # Of tiles others may have been sent copies meanwhile.
    assert "used" in fates(ledger.records[-1])


class Loads(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        if tag != "a":
            self.found += [v for k, v in attrs if k in ("src", "href") and v]


def test_the_page_is_served_with_all_that_it_loads(run, client) -> None:
    pytest.importorskip("bokeh")
    for _ in range(2):  # it is made once
        page = fetched(run.address, "/fcdcc")
    assert page.url == f"http://{run.address}/fcdcc-trace"
    loads = Loads()
    loads.feed(page.text)
    assert any("bokeh" in path for path in loads.found)
    assert [path for path in loads.found if re.match(r"\w+:|//", path)] == []
    for path in loads.found:
        assert fetched(run.address, f"/{path}").text
    assert len(client.cluster.scheduler.http_application.applications) == 1


def test_without_bokeh_the_page_says_what_is_missing(run, monkeypatch) -> None:
    from fcdcc_keras.monitoring import serving

    monkeypatch.setattr(serving, "find_spec", lambda name: None)
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetched(run.address, "/fcdcc")
    assert caught.value.code == 501
    assert "fcdcc-keras[monitoring]" in caught.value.read().decode()


def test_a_port_that_is_taken_is_said(monkeypatch) -> None:
    with fk.metrics() as served:
        with pytest.raises(fk.FcdccError, match=r"Received: port=.*Choose another"):
            fk.metrics(port=served.port)
    with pytest.raises(fk.FcdccError, match="Choose another"):
        fk.metrics(port=70000)
    from fcdcc_keras.monitoring import metrics

    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    with pytest.raises(fk.FcdccError, match=r"Install it with.*\[monitoring\]"):
        fk.metrics()


def test_a_scheduler_shows_them_from_its_start() -> None:
    pytest.importorskip("bokeh")
    import dask
    from distributed import LocalCluster

    preload = "fcdcc_keras.monitoring.preload"
    with (
        dask.config.set({"distributed.scheduler.preload": [preload]}),
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster,
    ):
        address = f"127.0.0.1:{cluster.scheduler.http_server.port}"
        record = layer("conv", 1, share(0, "used", 1.0, 2.0, 3.0, 4.0))
        record.subtasks[0].address = cluster.scheduler.address
        told = Told("me", "m", tallied([record]), []).to_text()
        cluster.scheduler.plugins[Figures.name].take(told)
        labels = ("outcome", "used"), ("worker", cluster.scheduler.address)
        assert samples(address)["fcdcc_scheduler_answers_total", labels] == 1
        assert 'href="fcdcc"' in fetched(address, "/status").text
        assert "Dask" in fetched(address, "/fcdcc").text

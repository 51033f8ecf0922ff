"""Sums of scripted records, told to a scheduler and read by Prometheus."""

import json
import pickle
from dataclasses import replace

import pytest

from fcdcc_keras.monitoring.fates import fates
from fcdcc_keras.monitoring.figures import Figures
from fcdcc_keras.monitoring.ledger import Ledger
from fcdcc_keras.monitoring.messages import Told
from fcdcc_keras.monitoring.process import Sums
from fcdcc_keras.monitoring.totals import CallTally, LayerTotals, Totals, WorkerTotals
from tests.monitoring.records import FATES, going, layer, owing, records, share


def tallied(given) -> Totals:
    tally = CallTally()
    for record in given:
        tally.add(record)
    return tally.totals()


def test_sums_are_those_of_the_records() -> None:
    totals = tallied(records() + records()[:1])
    worker = {address[6:8]: sums for address, sums in totals.workers.items()}
    assert worker["w0"] == WorkerTotals(used=2, bytes_sent=200, bytes_received=20)
    assert worker["w1"].redistributed == worker["w1"].used == 2
    assert worker["w3"] == WorkerTotals(late=2, bytes_sent=200)
    assert (worker["w5"].failed, worker["w6"].skipped) == (2, 2)
    # Of w1, whose answer was the last needed: 1 s of the 2 s of collecting. Then one
    # that waited for a second, and was computed by the client in half of one.
    assert totals.layers == {
        "conv": LayerTotals(0.75, 3.0, 2.5, 1.5, workers=2, client=1)
    }
    planned = tallied([layer("conv", 1, client=True)])
    assert planned.layers["conv"].planned == 1


def test_bytes_of_late_answers_are_added_when_they_come() -> None:
    tally, task = CallTally(), owing()
    tally.add(layer("conv", 1, task))
    assert tally.totals().workers[task.address].bytes_received == 0
    task.received, task.bytes_received = 1007.0, 10
    for _ in range(2):
        assert tally.totals().workers[task.address].bytes_received == 10


def test_fates_are_told_apart() -> None:
    (record, _) = records()
    assert fates(record)[:6] == FATES


def test_what_is_told_arrives_as_it_was() -> None:
    given = list(enumerate(records()))
    told = Told("me", "model", tallied(records()), given, [going()])
    assert Told.from_text(told.to_text()) == told


def test_what_is_under_way_is_told_apart() -> None:
    assert fates(going()) == ["used", "running", "running"]
    # The same was late once that has ended.
    ended = layer("conv", 1, *going().subtasks)
    assert fates(ended) == ["used", "late", "late"]


def test_a_ledger_knows_what_is_under_way_until_told_otherwise() -> None:
    ledger, none = Ledger(), Totals()
    ledger.take(Told("a", "m", none, [], [going()]))
    ledger.take(Told("b", "m", none, [], [going(), going()]))
    assert len(ledger.under_way) == 3
    ledger.take(Told("a", "m", none))
    assert len(ledger.under_way) == 2
    changes = ledger.changes
    ledger.left("b")
    assert (ledger.under_way, ledger.changes) == ([], changes + 1)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"totals": {}}'])
def test_nonsense_is_not_taken(text: str) -> None:
    ledger = Ledger()
    with pytest.raises((ValueError, KeyError, TypeError)):
        ledger.take(Told.from_text(text))
    assert ledger.totals() == Totals()


def test_a_ledger_adds_up_what_clients_tell() -> None:
    ledger, once = Ledger(), tallied(records())
    for _ in range(2):  # sums are told, not what was added to them
        ledger.take(Told("a", "model", once, []))
    ledger.take(Told("a", "other", once, []))
    ledger.take(Told("b", "model", once, []))
    address = "tcp://w0:1"
    assert ledger.totals().workers[address].used == 3
    ledger.left("a")
    ledger.left("nobody")
    assert ledger.totals().workers[address].used == 3


def test_a_ledger_forgets_what_is_long_ago_and_corrects_what_it_has() -> None:
    ledger, none = Ledger(), Totals()
    one = layer("conv", 0, *(share(n, "used") for n in range(1000)))
    for number in range(9):
        ledger.take(Told("a", "m", none, [(number, replace(one, call=number))]))
    assert [record.call for record in ledger.records] == [4, 5, 6, 7, 8]
    ledger.take(Told("a", "m", none, [(5, replace(one, call=50))]))
    assert [record.call for record in ledger.records] == [4, 50, 6, 7, 8]


def test_sums_of_what_has_gone_stay() -> None:
    sums, tally = Sums(), CallTally()
    sums.begin(tally.totals)
    tally.add(records()[0])
    sums.end(tally.totals)
    sums.end(tally.totals)
    tally.add(records()[0])
    assert sums.totals().workers["tcp://w0:1"].used == 1


def test_the_plugin_travels_without_what_it_holds() -> None:
    figures = Figures()
    figures.take(Told("a", "m", tallied(records()), []).to_text())
    assert pickle.loads(pickle.dumps(figures)).ledger.totals() == Totals()


def test_prometheus_reads_hostile_names() -> None:
    prometheus = pytest.importorskip("prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families

    from fcdcc_keras.monitoring.exposition import Exposition

    name = 'a"b\\c\n# TYPE evil counter\nevil 1 <script>'
    record = layer(name, 1, replace(share(0, "used", 1, 2, 3, 4), address=name))
    registry = prometheus.CollectorRegistry()
    totals = tallied([record])
    registry.register(Exposition("client", lambda: totals))
    text = prometheus.generate_latest(registry).decode()
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["fcdcc_client_answers_total", name, "used"] == 1
    assert found["fcdcc_client_stage_seconds_total", name, "decode"] == 0.5
    assert not any("evil" in key[0] for key in found)
    assert json.loads(Told("a", "m", totals, [(1, record)]).to_text())

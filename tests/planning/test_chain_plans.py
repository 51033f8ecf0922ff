"""Plans of chains whose workers keep what they yield: files, runs, and bad ones."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.planning.prediction import Latency


def chain(to, place="workers", **options):
    return ChainPlan(to, place, **options)


def stretch(*chains):
    return StretchPlan("", "input", (8, 8), chains)


KEPT = stretch(
    chain("a", "client"),
    chain("b", exchange=True, tiles=(1, 3, 1), parts=3, latency=Latency(1, 2, 3)),
    chain("c", exchange=True, exchanged=7000, halos=2),
    chain("d", exchanged=4000, halos=2, download=5000),
    chain("e", exchange=True),
    chain("f"),
    chain("g"),
    chain("h", hedged=False),
)


def test_files_have_what_is_kept():
    plan = Plan("net", 3, 1, (), stretches=(KEPT,))
    assert Plan.from_json(plan.to_json()) == plan
    data = json.loads(plan.to_json())
    for one in data["stretches"][0]["chains"]:
        for field in ("exchange", "exchanged", "halos"):
            del one[field]  # as those before had none
    (before,) = Plan.from_json(json.dumps(data)).stretches
    assert not any(one.exchange for one in before.chains)
    assert [one.to for one in before.chains] == list("abcdefgh")


def test_runs_are_chains_of_one_place_and_one_way():
    runs = ["".join(KEPT.chains[n].to for n in numbers) for numbers in KEPT.runs]
    assert runs == ["a", "bcd", "ef", "g", "h"]
    by_client = stretch(*(replace(one, exchange=False) for one in KEPT.chains))
    runs = [(run.start, run.stop) for run in by_client.runs]
    assert runs == [(0, 1), (1, 7), (7, 8)]


@pytest.mark.parametrize(
    ("place", "hedged"), [("client", True), ("workers", False), ("client", False)]
)
def test_only_workers_that_have_a_tile_each_keep_it(place, hedged):
    with pytest.raises(PlanError, match=rf"Received: exchange=True, place='{place}'"):
        chain("a", place, hedged=hedged, exchange=True)
    data = chain("a", place, hedged=hedged).to_dict() | {"exchange": True}
    with pytest.raises(PlanError, match="for the chain to 'a'"):
        ChainPlan.from_dict(data)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ((), "the last of a stretch"),
        ((chain("b", "client"),), "before one of client, hedged"),
        ((chain("b", hedged=False),), "before one of workers, eager"),
        ((chain("b", tiles=(1, 1, 1)),), "before one in a single tile"),
    ],
)
def test_what_is_kept_is_read_by_those_who_keep_it(after, said):
    with pytest.raises(PlanError, match=f"of the chain to 'a', {said}"):
        stretch(chain("a", exchange=True), *after)


def test_tables_say_what_crosses_no_link():
    lines = str(Plan("net", 3, 1, (), stretches=(KEPT,))).splitlines()
    cells = {line.split()[1]: line for line in lines if len(line.split()) > 2}
    assert "1×3×1" in cells["b"]
    assert cells["b"].index("0 B") < cells["b"].index("kept")
    assert cells["c"].index("halos exchanged, 7 kB") < cells["c"].index("kept")
    assert cells["d"].index("halos exchanged, 4 kB") < cells["d"].index("5 kB")
    assert "halos" not in cells["e"]
    assert "kept" not in cells["f"]

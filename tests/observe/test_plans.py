"""What reports and pictures say of chains whose workers exchange halos."""

from dataclasses import replace

import pytest

from fcdcc_keras.observe.plan_plot import plot_plan
from fcdcc_keras.observe.report import ChainReport, Report
from fcdcc_keras.planning import Objective, Plan
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.planning.prediction import Latency

KEPT = ChainPlan(
    "pool", "workers", tiles=(1, 3, 2), exchange=True, latency=Latency(1.0, 1.0, 1.0)
)
READ = ChainPlan(
    "sum", "workers", tiles=(1, 3, 2), exchanged=700, halos=5, latency=KEPT.latency
)


def test_reports_say_what_workers_keep():
    said = "the workers compute the chain to pool in 1×3×2 tiles, hedged"
    assert str(ChainReport(("pool",), replace(KEPT, exchange=False))) == said
    kept = f"{said}, keep what it yields and exchange halos of it"
    assert str(ChainReport(("pool",), KEPT)) == kept
    assert "halos" not in str(ChainReport(("sum",), READ))


def test_tables_of_reports_say_what_is_exchanged_and_what_nobody_knows():
    first = ChainReport(("pool",), replace(KEPT, upload=1000, download=5000))
    last = ChainReport(("sum",), replace(READ, upload=3000, download=50))
    printed = str(Report((), chains=(first, last))).splitlines()
    (pool,) = [line.split() for line in printed if "pool" in line]
    (summed,) = [line.split() for line in printed if "sum " in line]
    assert pool[-2:] == ["kept", "-"]
    assert summed[-6:] == ["halos,", "700", "B", "50", "B", "-"]


def test_pictures_tell_chains_that_begin_with_halos(tmp_path):
    pytest.importorskip("matplotlib")
    counts = []
    for first in (KEPT, replace(KEPT, exchange=False)):
        stretch = StretchPlan("", "input", (8, 8), (first, READ))
        plan = Plan("net", 6, 1, (), latency=Latency(3.0, 3.0, 3.0))
        path = tmp_path / "plan.svg"
        plot_plan(replace(plan, stretches=(stretch,)), Objective(), path)
        drawn = path.read_text("utf-8").lower()
        counts.append([drawn.count(colour) for colour in ("#56b4e9", "#0072b2")])
    (light, dark), plain = counts
    assert [light - 1, dark + 1] == plain

"""What is printed, and what is JSON."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from fcdcc_keras.doctor.diagnosis import diagnose
from fcdcc_keras.doctor.expectation import Expectation
from fcdcc_keras.doctor.findings import Expected, InUse, MeasuredWay, Touch
from fcdcc_keras.doctor.show import show, to_json
from tests.doctor.found import PACKAGES, SOFTWARE, findings

DROPPED = Touch("dropped")
MODEL = Expectation("VGG16", 4, 59_000_000, alone=1.9, expected=0.61, over_workers=True)


def printed(found, expectations=(), width=80):
    """Returns what a terminal would show, without spaces at ends of lines."""
    out = io.StringIO()
    show(
        Console(file=out, width=width),
        found,
        diagnose(found, 1, expectations),
        expectations,
    )
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def three_faults():
    """One worker unreachable, one of another version, one out of memory."""
    older = replace(SOFTWARE, packages={**PACKAGES, "fcdcc_keras": "0.0.9"})
    unreached = {
        **{"name": "cellar", "by_client": DROPPED, "answers_client": False},
        **{"by_scheduler": DROPPED, "answers_scheduler": False, "to_scheduler": None},
        **{"software": None, "clock": None, "link": None, "speed": None},
        "to_workers": {},
    }
    return findings(
        unreached,
        {"name": "kitchen", "software": older, "speed": None},
        {"name": "garage", "status": "paused", "memory": InUse(0.82e9, 1e9)},
        {"name": "attic"},
    )


def test_the_documentation_shows_what_it_prints():
    assert printed(three_faults()).strip("\n") == block("docs/doctor.md", "ailing")


def block(page, test):
    page = (Path(__file__).parents[2] / page).read_text("utf-8")
    return page.partition(f"<!-- test: {test} -->\n```text\n")[2].partition("\n```")[0]


def test_what_can_be_expected_is_said():
    said = " ".join(printed(findings(), [MODEL]).split())
    assert " ".join(block("docs/doctor.md", "expected").split()) in said
    assert "VGG16 over 4 workers: about 3.1 times one device" in said
    assert "(610 ms an image instead of 1900)" in said
    assert "holds up to 59 MB" in said
    assert said.endswith("fk.distribute works here, over 4 workers.")
    alone = replace(MODEL, expected=1.9, over_workers=False)
    assert "no part of it is done sooner" in printed(findings(), [alone], 200)
    unknown = Expectation("VGG16", 4, 59_000_000)
    assert "too little was measured" in printed(findings(), [unknown], 200)


def test_who_is_missing_does_not_keep_a_model_from_being_distributed():
    found = findings(expected=(Expected("cellar"),))
    assert "works here, but not over all workers that are expected" in printed(found)


def test_of_many_that_have_the_same_some_are_named():
    many = findings()
    older = replace(SOFTWARE, packages={**PACKAGES, "fcdcc_keras": "0.0.9"})
    workers = [replace(many.workers[0], name=f"w{n}", software=older) for n in range(9)]
    assert "and 3 more: has fcdcc_keras" in printed(
        replace(many, workers=tuple(workers)), width=400
    )


def test_what_is_infinite_is_null_in_json():
    found = findings({"link": MeasuredWay(1e-3, math.inf)})
    said = json.loads(
        json.dumps(to_json(found, diagnose(found), [MODEL]), allow_nan=False)
    )
    assert said["workers"][0]["link"]["bandwidth"] is None
    assert said["expectations"][0]["ratio"] == 1.9 / 0.61
    assert said["ok"] is True

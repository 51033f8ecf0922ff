"""Models of keras.applications, as the script of docs/applications.md measures them."""

import re
from pathlib import Path

import pytest

from benchmarks import applications_table as script
from benchmarks import chains_table as chains

ROOT = Path(__file__).parents[2]
OF_PLAIN = 4.0
"""Deviation in units of the plain float32 model's own error, from float64."""
LARGEST = 1e-5
"""Deviation from the plain model that a whole model may have in float32."""


# Depthwise and grouped convolutions, and Dense at every place.
@pytest.mark.parametrize("name", ["MobileNet", "ConvNeXtTiny"])
def test_small_models_are_coded_whole(name):
    row = script.measure(name, 1, exact=False)
    assert row.converted == row.convolutions > 20
    assert row.convolutional_share == 1
    assert row.total_share == 1
    assert set(row.deviation) == {"tensorflow", "light"}
    assert 0 < min(row.deviation.values()) <= max(row.deviation.values()) <= LARGEST


@pytest.mark.parametrize("name", chains.OTHERS)
def test_models_of_other_kinds_as_chains(name):
    row = chains.measure(name)
    assert row.chains >= 2 or name == "WaveNet"
    assert row.tiles >= len(chains.GRIDS) * 5
    assert max(row.deviation.values()) <= OF_PLAIN * row.plain_error


def test_the_document_has_models_as_chains_within_bounds():
    text = (ROOT / "docs/applications.md").read_text("utf-8")
    rows = re.findall(
        r"^\| ([\w -]+) \| [\d×]+ \| (\d+) \| (\d+) \| (\S+) \| (\S+) \| (\S+) "
        r"\| (\S+) \|$",
        text,
        re.MULTILINE,
    )
    missing = {*script.names(), *chains.OTHERS} - {row[0] for row in rows}
    assert missing == {"ConvNeXtXLarge"}
    for _, many, tiles, *errors in rows:
        assert int(tiles) > int(many) > 0
        *deviations, own = map(float, errors)
        assert max(deviations) <= OF_PLAIN * own


def test_the_document_has_every_model_within_bounds():
    text = (ROOT / "docs/applications.md").read_text("utf-8")
    rows = re.findall(
        r"^\| (\w+) \| (\d+)×\d+ \| (\d+) of (\d+) \| ([\d.]+)% \| ([\d.]+)% "
        r"\| (\S+) \| (\S+) \| (\S+) \|$",
        text,
        re.MULTILINE,
    )
    small = {row[0] for row in rows if row[1] != "224"}
    assert small >= set(script.names())
    assert {row[0] for row in rows if row[1] == "224"} == set(script.AT_224)
    for _, _, converted, convolutions, convolutional, everything, *errors in rows:
        assert converted == convolutions
        assert float(convolutional) == 100
        assert float(everything) >= 95
        *deviations, own = map(float, errors)
        assert max(deviations) <= min(LARGEST, OF_PLAIN * own)

"""Plans are frozen, check themselves, print, and survive JSON."""

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from fcdcc_keras.codes import CRME, Uncoded
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import LayerPlan, Plan


def _layer(path: str, code: Any) -> LayerPlan:
    geometry = ConvGeometry((32, 30), 3, 20, (3, 5), (2, 1), (1, 1), "same")
    return LayerPlan.of(path, geometry, code)


LAYERS = (
    _layer("conv", CRME(4, 4, 6)),
    _layer("encoder/block[0]/conv", CRME(1, 8, 6, q=7)),
    _layer("head", CRME(4, 2, 6)),
)
PLAN = Plan("net", 6, 2, LAYERS, (("depthwise", "it is not coded"),))


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        Plan("empty", 1, 0, ()),
        Plan("plain", 6, 0, (_layer("conv", Uncoded(2, 3, 6)),)),
    ],
    ids=lambda plan: plan.model,
)
def test_json_round_trip(plan: Plan, tmp_path: Path) -> None:
    text = plan.to_json()
    assert Plan.from_json(text) == plan
    assert Plan.from_json("\n " + text) == plan
    path = tmp_path / "plan.json"
    assert plan.to_json(path) == text
    assert Plan.from_json(path) == plan
    assert Plan.from_json(str(path)) == plan
    assert Plan.from_json(path).to_json() == text
    assert hash(Plan.from_json(text)) == hash(plan)


def test_a_layer_by_its_path() -> None:
    assert PLAN.layer("head") is LAYERS[2]
    assert PLAN.layer("depthwise") is None


@pytest.mark.parametrize(
    ("thing", "field"),
    [(PLAN, "workers"), (LAYERS[0], "code"), (LAYERS[0].cost, "price")],
)
def test_plans_are_frozen(thing: Any, field: str) -> None:
    with pytest.raises(FrozenInstanceError, match=field):
        setattr(thing, field, 1)


def test_the_table_shows_every_layer() -> None:
    lines = str(PLAN).splitlines()
    assert lines[0] == "net: 6 workers, 2 may be missing"
    for layer, needed in zip(LAYERS, ["4 of 6", "4 of 6", "2 of 6"], strict=True):
        (row,) = (line for line in lines if line.split()[:1] == [layer.path])
        assert f" {layer.code.name} " in row
        assert f"{layer.code.k_a}, {layer.code.k_b}" in row
        assert needed in row
    # 16×30 outputs of 20 channels: 4 parts of 4 rows, 9 high, 4 blocks of 5.
    row = next(line for line in lines if line.split()[:1] == ["conv"])
    counts = [cell.strip() for cell in row.split("  ") if cell.strip()][4:]
    assert counts == ["1.62 k", "9.6 k", "450", "108 k", "0.25", "2.08"]
    assert "not coded: depthwise: it is not coded" in lines


@pytest.mark.parametrize(
    "change", [{"workers": 5}, {"workers": 7}, {"stragglers": 3}], ids=str
)
def test_layers_must_be_coded_for_the_plan(change: dict[str, int]) -> None:
    match = r"coded for the plan's workers and.*Received: layer 'conv' with CRME"
    with pytest.raises(PlanError, match=match):
        replace(PLAN, **change)
    data = json.loads(PLAN.to_json()) | change
    with pytest.raises(PlanError, match=match):
        Plan.from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("workers", "stragglers"), [(6, -1), (0, 0), (4, 4), ("6", 0), (6, None)]
)
def test_numbers_of_a_plan_must_be_possible(workers: Any, stragglers: Any) -> None:
    with pytest.raises(PlanError, match=r"workers|stragglers"):
        Plan("net", workers, stragglers, ())


def _set(value: Any, *keys: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


WRONG: dict[str, Callable[[Any], Any]] = {
    "another format": _set(2, "format"),
    "no format": lambda data: data.pop("format"),
    "no model": lambda data: data.pop("model"),
    "no layers": _set(None, "layers"),
    "a layer without a code": lambda data: data["layers"][1].pop("code"),
    "a layer that is text": _set("conv", "layers", 0),
    "an unknown code": _set("turbo", "layers", 0, "code", "name"),
    "a code that cannot be": _set(3, "layers", 0, "code", "k_a"),
    "an unknown size": _set(1, "layers", 0, "geometry", "depth"),
    "a size that is no pair": _set(3, "layers", 0, "geometry", "kernel_size"),
    "a size of letters": _set(["a", 3], "layers", 0, "geometry", "kernel_size"),
    "filters as text": _set("20", "layers", 0, "geometry", "filters"),
    "an unknown cost": _set(1, "layers", 0, "cost", "fuel"),
    "a cost too few": lambda data: data["layers"][0]["cost"].pop("upload"),
    "a reason too many": _set([["a", "b", "c"]], "not_coded"),
    "reasons missing": _set(["depthwise"], "not_coded"),
    "stragglers as text": _set("2", "stragglers"),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_wrong_data(change: Callable[[Any], Any]) -> None:
    data = json.loads(PLAN.to_json())
    change(data)
    with pytest.raises(PlanError, match=r"Received: ") as caught:
        Plan.from_json(json.dumps(data))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("text", ["{", "{}", "no/such/file.json", "[1]", "", "{1: 2}"])
def test_texts_that_are_no_plans(text: str) -> None:
    with pytest.raises(PlanError, match=r"what `Plan.to_json` writes. Received: "):
        Plan.from_json(text)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"7", b"\xff\xfe\x00", b"{"])
def test_files_that_are_no_plans(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / ("a" * 90) / "plan.json"  # shown whole
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(PlanError, match=r"what `Plan.to_json` writes.*plan\.json"):
        Plan.from_json(path)
    with pytest.raises(PlanError, match=r"what `Plan.to_json` writes"):
        Plan.from_json(tmp_path)  # a directory


@pytest.mark.parametrize("data", [{}, [], None, {"path": "conv"}], ids=str)
def test_wrong_data_of_a_layer(data: Any) -> None:
    with pytest.raises(PlanError, match=r"what `Plan.to_json` writes. Received: "):
        LayerPlan.from_dict(data)

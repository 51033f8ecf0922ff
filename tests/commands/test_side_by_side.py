"""Two models on the same images, the page and the figures: in process."""

import base64
import json
import re
from dataclasses import replace

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.commands.evaluation import Evaluation
from fcdcc_keras.commands.faults import parse, schedule
from fcdcc_keras.commands.side_by_side import compare
from fcdcc_keras.execution.executors.local import LocalFault

IMAGES, SIZE = 22, 4


def model():
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, name="first")(inputs)
    x = keras.layers.Conv2D(4, 3, name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def batches(plain):
    images = np.random.default_rng(0).normal(size=(IMAGES, 8, 8, 1)).astype("float32")
    labels = plain.predict(images, verbose=0).argmax(axis=1)
    labels[:2] = (labels[:2] + 1) % 3  # two that the model gets wrong
    for i in range(0, IMAGES, SIZE):
        yield images[i : i + SIZE], labels[i : i + SIZE]


@pytest.fixture(scope="module")
def judged():
    plain, executor = model(), fk.LocalExecutor(4)
    happened, progress = [], []

    def strike(fault):
        happened.append((fault.text, len(progress)))
        executor.faults = {
            **executor.faults,
            fault.workers[0]: LocalFault(error="gone"),
        }

    faults = schedule(parse("kill 1 at image 9; kill 0 at 60%"), 4, IMAGES)
    with fk.closing(fk.distribute(plain, executor, stragglers=2)) as coded:
        comparison = compare(
            plain,
            coded,
            batches(plain),
            faults,
            images=IMAGES,
            strike=strike,
            after_batch=lambda: progress.append(1),
        )
        layers = str(fk.report(coded))
    assert happened == [("kill 1 at image 9", 2), ("kill 0 at 60%", 3)]
    assert len(progress) == 6
    return Evaluation("small", "noise", SIZE, 4, 2, True, comparison, layers, 1.5)


def test_every_image_is_judged(judged) -> None:
    comparison = judged.comparison
    assert (comparison.images, comparison.differences) == (IMAGES, [])
    assert judged.accuracy_plain == judged.accuracy_coded == 20 / 22
    assert 0 < comparison.deviation < 1e-5
    # Of the last, smaller batch the time is not like the others'.
    assert len(comparison.coded_seconds) == len(comparison.plain_seconds) == 5


def test_faults_happen_within_their_batch(judged) -> None:
    assert [number for _, number in judged.comparison.struck] == [2, 3]
    first = judged.comparison.scenes[1]
    assert first.title == "Batch 3: kill 1 at image 9"
    failed = {r.layer: [t.outcome for t in r.subtasks][1] for r in first.records}
    assert failed["first"] != "failed"  # it happened after this layer
    assert failed["second"] == "failed"
    assert judged.comparison.scenes[0].title == "Batch 1: before any fault"


def test_json_has_the_promised_keys(judged) -> None:
    found = json.loads(json.dumps(judged.to_json(), allow_nan=False))
    assert found["accuracy_plain"] == found["accuracy_coded"] == 20 / 22
    assert (found["predictions"], found["predictions_differing"]) == (IMAGES, 0)
    for key in ("latency_ms", "latency_ms_plain"):
        times = found[key]
        assert 0 < times["p50"] <= times["p90"] <= times["p95"] <= times["p99"]
        assert times["p99"] <= times["max"]
    workers = found["workers"]
    assert [worker["worker"] for worker in workers] == [0, 1, 2, 3]
    for way in ("bytes_sent", "bytes_received"):
        assert found[way] == sum(worker[way] for worker in workers) > 0
    kinds = ("used", "late", "lost", "skipped")
    assert {sum(worker[kind] for kind in kinds) for worker in workers} == {12}
    assert [worker["lost"] > 0 for worker in workers] == [True, True, False, False]
    assert found["local_convolutions"] == 0
    assert [layer["calls"] for layer in found["layers"]] == [6, 6]
    assert found["faults"][0] == {"fault": "kill 1 at image 9", "batch": 2}


def test_the_table_shows_it(judged) -> None:
    text = str(judged)
    for part in ("90.91%", "0 of 22", "0 of 12", "local-3", "any 2 may be missing"):
        assert part in text


def test_unknown_classes_have_no_accuracy(judged) -> None:
    unknown = Evaluation(
        "small", "noise", SIZE, 4, 2, False, judged.comparison, judged.layers, 1.5
    )
    assert unknown.to_json()["accuracy_plain"] is None
    assert "classes are not the model's" in str(unknown)


def test_a_different_model_is_found_out() -> None:
    plain, other = model(), model()
    other.layers[-1].bias.assign([50.0, 0.0, 0.0])  # it always says 0
    with fk.closing(fk.distribute(other, fk.LocalExecutor(3))) as coded:
        comparison = compare(plain, coded, batches(plain), images=IMAGES)
    said = plain.predict(np.concatenate([x for x, _ in batches(plain)]), verbose=0)
    wrong = np.flatnonzero(said.argmax(axis=1))
    assert [difference.image for difference in comparison.differences] == wrong.tolist()
    assert {difference.coded for difference in comparison.differences} == {0}
    assert comparison.deviation > 1


def test_the_page_needs_no_other_file(judged, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    from fcdcc_keras.commands.page import write_page

    path = tmp_path / "page.html"
    write_page(judged, path)
    html = path.read_text("utf-8")
    assert html.startswith("<!DOCTYPE html>")
    assert not re.search(r"<script|<link|@import|url\(|https?://", html)
    sources = re.findall(r'src="([^"]*)"', html)
    assert len(sources) == 3 + len(judged.comparison.scenes)
    for source in sources:
        kind, _, data = source.partition(";base64,")
        assert kind == "data:image/svg+xml"
        drawn = base64.b64decode(data).decode()
        assert "<svg" in drawn
        assert not re.search(r'href="(?!#)', drawn)
    assert "All 22 predictions are those of the plain model" in html
    assert "kill 1 at image 9; kill 0 at 60%" in html


def test_what_a_page_names_is_text(judged) -> None:
    pytest.importorskip("matplotlib")
    from fcdcc_keras.commands.page import page

    html = page(replace(judged, model="<b>mine</b>", layers="a & b < c"))
    assert "<title>&lt;b&gt;mine&lt;/b&gt; on noise</title>" in html
    assert "a &amp; b &lt; c" in html
    assert "<b>" not in html

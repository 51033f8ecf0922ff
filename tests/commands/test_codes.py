"""``fcdcc-keras codes``: what it prints, and what it draws."""

import importlib.util
import json
import math

import pytest
from click.testing import CliRunner, Result

from fcdcc_keras import cli, codes
from fcdcc_keras.codes import Certificate
from fcdcc_keras.planning.comparing.comparison import CodeComparison
from fcdcc_keras.planning.comparing.curves import over_stragglers, over_workers
from fcdcc_keras.programs.exactness import plain_error


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["codes", *arguments])


def compared(*arguments: str) -> list[dict]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    return json.loads(result.stdout, parse_constant=refuse)


def chosen(rows: list[dict]) -> dict:
    (row,) = [row for row in rows if row["chosen"]]
    return row


def test_rows_say_what_was_certified():
    rows = compared("--workers", "6", "--stragglers", "2")
    best = chosen(rows)
    assert best["code"] == "quaternion"
    assert best["amplification"]["worst"] < 2.1
    assert {row["code"] for row in rows} == set(codes.names()) - {"uncoded"}
    (crme,) = [r for r in rows if (r["code"], r["partition"]) == ("crme", [4, 4])]
    assert crme == {
        "code": "crme",
        "options": {"q": 6},
        "chosen": False,
        "recovery_threshold": 4,
        "partition": [4, 4],
        "amplification": {
            "median": 1.29099,
            "p99": 2.08167,
            "worst": 2.08167,
            "exact": True,
        },
        "condition_number": crme["condition_number"],
        "float32_error": {
            "p99": pytest.approx(2.0817 * plain_error("float32"), rel=0.01),
            "worst": pytest.approx(2.0817 * plain_error("float32"), rel=0.01),
        },
        "sets": 15,
        "worst_survivors": crme["worst_survivors"],
    }
    assert 1 < crme["condition_number"]["median"] <= crme["condition_number"]["worst"]


def test_rows_make_their_codes_again():
    for row in compared("--workers", "7", "--stragglers", "3"):
        k_a, k_b = row["partition"]
        family = codes.get(row["code"])
        code = family(k_a, k_b, 7, **row["options"])
        assert code.recovery_threshold == row["recovery_threshold"] == 4
        worst = code.decoder(row["worst_survivors"]).amplification
        assert worst == pytest.approx(
            row["amplification"]["worst"], rel=5e-6
        )  # six digits


def test_the_chosen_is_the_most_exact_that_auto_may_take():
    rows = compared("--workers", "6", "--stragglers", "2")
    allowed = [r for r in rows if r["code"] not in ("uncoded", "replication")]
    least = min(r["amplification"]["p99"] for r in allowed)
    assert chosen(rows)["amplification"]["p99"] == least
    assert rows[0]["code"] == "replication"


def test_sixteen_workers_of_which_four_may_be_missing():
    best = chosen(
        compared("--workers", "16", "--stragglers", "4", "--partition", "12,4")
    )
    assert best["amplification"]["exact"]
    assert best["sets"] == 1820
    assert best["amplification"]["worst"] < 50


def test_a_partition_keeps_other_splits_out():
    rows = compared("--workers", "6", "--stragglers", "2", "--partition", "4,4")
    assert {tuple(row["partition"]) for row in rows} == {(4, 4)}
    assert len({(r["code"], *r["options"].values()) for r in rows}) == len(rows)
    assert chosen(rows)["amplification"]["worst"] <= 2.1
    wrong = run("--workers", "6", "--stragglers", "2", "--partition", "5, 4")
    assert wrong.exit_code == 1
    assert "Received: partition=5,4. Use one of 1,4 1,8" in wrong.output


def test_infinite_figures_are_null():
    certificate = Certificate(math.inf, math.inf, 2.0, math.inf, 3.0, (0, 1), True, 6)
    comparison = CodeComparison(4, 2, ((codes.Chebyshev(2, 1, 4), certificate),))
    (row,) = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert row["amplification"] == {
        "median": 2.0,
        "p99": None,
        "worst": None,
        "exact": True,
    }
    assert row["condition_number"] == {"median": 3.0, "worst": None}
    assert row["float32_error"] == {"p99": None, "worst": None}
    assert "inf" in str(comparison)


def test_crme_at_sixty_is_shown_and_not_chosen():
    arguments = ["--workers", "60", "--stragglers", "28", "--samples", "100"]
    rows = compared(*arguments, "--partition", "64,1")
    (crme,) = [row for row in rows if row["code"] == "crme"]
    assert crme["amplification"]["worst"] > 1e12
    assert not crme["chosen"]


def test_the_table_marks_the_chosen():
    text = run("--workers", "6", "--stragglers", "2").stdout
    assert "quaternion *" in text
    assert "parity=quaternion" in text
    assert text.count("*") == 2  # and the title says what it means


def test_too_many_stragglers_are_refused():
    wrong = run("--workers", "6", "--stragglers", "6")
    assert wrong.exit_code == 1
    assert "Received: stragglers=6" in wrong.output


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")],
)
def test_plot_is_written(tmp_path, suffix, start):
    path = tmp_path / f"alpha.{suffix}"
    result = run("--workers", "5", "--stragglers", "1", "--json", "--plot", str(path))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alpha.gif", "must end in .png, .svg, .pdf. Received: "),
        ("none/alpha.png", "a folder that is there and may be written to. Received: "),
    ],
)
def test_plots_that_cannot_be_written_are_refused_first(tmp_path, name, message):
    result = run("--workers", "60", "--plot", str(tmp_path / name))
    assert result.exit_code == 1
    assert message in result.output


def test_matplotlib_missing_is_said(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "fcdcc_keras.observe.plotting.find_spec",
        lambda name: None if name == "matplotlib" else find_spec(name),
    )
    result = run("--workers", "5", "--plot", str(tmp_path / "alpha.png"))
    assert result.exit_code == 1
    assert "pip install 'fcdcc-keras[plot]'" in result.output
    assert not (tmp_path / "alpha.png").exists()


def test_curves_have_the_case_asked_for_and_every_protecting_code():
    for curves, own in ((over_workers(12, 3), 12), (over_stragglers(12, 3), 3)):
        assert {curve.kind for curve in curves} == {
            *("crme", "quaternion", "rotation", "khatri_rao", "chebyshev"),
            *("systematic, gaussian", "systematic, quaternion", "vandermonde"),
        }
        for curve in curves:
            assert own in curve.at
            assert sorted(set(curve.at)) == list(curve.at)
            pairs = zip(curve.median, curve.high, strict=True)
            assert all(median <= high for median, high in pairs)


def test_curves_are_those_of_certificates():
    # C(12, 8) = 495 sets: all are tried for both.
    (crme,) = [c for c in over_stragglers(12, 4) if c.kind == "crme"]
    certificate = codes.certify(codes.CRME(8, 4, 12))
    at = crme.at.index(4)
    assert crme.median[at] == pytest.approx(certificate.amplification_median)
    assert crme.high[at] == pytest.approx(certificate.amplification_99)

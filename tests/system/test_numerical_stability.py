"""``examples/numerical_stability.py``, run as a reader of it would."""

import json

import pytest


@pytest.fixture(scope="module")
def quick(run_example, tmp_path_factory):
    plot = tmp_path_factory.mktemp("plot") / "stability.png"
    words = ("--quick", "--json", "--plot", plot)
    rows = json.loads(run_example("numerical_stability.py", *words))
    assert plot.read_bytes().startswith(b"\x89PNG")
    return rows


def of(rows, workers, dtype, code=None):
    """The rows of one code, by default the one that would be chosen."""
    found = [
        row
        for row in rows
        if (row["workers"], row["dtype"]) == (workers, dtype)
        and (row["chosen"] if code is None else row["code"] == code)
    ]
    assert [row["layer"] for row in found] == [0, 1, 2]
    return found


def test_with_one_straggler_every_code_is_exact(quick):
    kinds = {row["code"] for row in quick}
    assert kinds > {"crme", "quaternion", "systematic, quaternion", "khatri_rao"}
    for kind in kinds:
        for row in of(quick, 5, "float32", kind):
            assert 1e-16 < row["mse"]["median"] < 1e-10
        for row in of(quick, 5, "float64", kind):
            # Systematic codes copy: no error at all, where nobody is missing.
            assert 0 <= row["mse"]["median"] < 1e-27


def test_at_sixty_workers_the_chosen_stays_exact_and_crme_fails(quick):
    for row in of(quick, 60, "float32"):
        # α of at most some 300, of a plain error of 2e-7 at most.
        assert row["mse"]["median"] <= row["mse"]["largest"] < 1e-9
        assert row["mse"]["worst"] < (300 * 2e-7) ** 2
        assert row["condition_number"]["worst"] < 1e4
    for row in of(quick, 60, "float32", "crme"):
        assert not row["chosen"]
        assert row["mse"]["worst"] is None  # noise, which the decoder refuses
        assert row["mse"]["largest"] > 1e-9
        assert row["condition_number"]["worst"] > 1e13
    for row in of(quick, 60, "float64", "vandermonde"):
        assert row["mse"]["median"] is None


def test_float64_has_the_same_growth_from_a_smaller_error(quick):
    pairs = zip(of(quick, 60, "float32"), of(quick, 60, "float64"), strict=True)
    for single, double in pairs:
        ratio = single["mse"]["median"] / double["mse"]["median"]
        assert 1e16 < ratio < 1e19  # (2e-7 / 3.7e-16)² = 3e17

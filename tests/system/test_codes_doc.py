"""The table of docs/codes.md is what its script prints, as far as that is quick."""

from pathlib import Path

from click.testing import CliRunner

from benchmarks import codes_table

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_script():
    done = CliRunner().invoke(codes_table.main, ["--largest", "10"])
    assert done.exit_code == 0, done.output
    printed = done.stdout.splitlines()
    assert len(printed) == 4
    written = (ROOT / "docs/codes.md").read_text("utf-8").splitlines()
    assert set(printed) <= set(written)

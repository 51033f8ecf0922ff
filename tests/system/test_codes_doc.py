"""The table of docs/codes.md is what its script prints, as far as that is quick."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_script():
    script = ROOT / "benchmarks/codes_table.py"
    done = subprocess.run(
        [sys.executable, str(script), "--largest", "10"],
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
    )
    printed = done.stdout.splitlines()
    assert len(printed) == 4
    written = (ROOT / "docs/codes.md").read_text("utf-8").splitlines()
    assert set(printed) <= set(written)

"""Each row of docs/faults.md has a test of the same name where it says."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows():
    lines = (ROOT / "docs/faults.md").read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [row for row in cells if row and row[-1].endswith(".py`")]


def test_every_row_has_its_test():
    found = rows()
    assert len(found) >= 22
    missing = [
        (fault, file)
        for fault, _, file in found
        if f"\ndef test_{re.sub(r'[^a-z]+', '_', fault.lower())}("
        not in (ROOT / "tests" / file.strip("`")).read_text("utf-8")
    ]
    assert missing == []
    assert len({fault for fault, _, _ in found}) == len(found)

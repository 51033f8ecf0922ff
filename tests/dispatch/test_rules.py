"""There is one set of rules: drivers and planner have their numbers from here."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
DISPATCH = ROOT / "fcdcc_keras/dispatch"


def numbers(path):
    """Returns the names of the numbers that a module defines."""
    module = ast.parse(path.read_text("utf-8"))
    assigned = [each for each in module.body if isinstance(each, ast.Assign)]
    targets = [t for e in assigned if not text(e.value) for t in e.targets]
    names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
    return [name for name in names if name.isupper()]


def text(value):
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def test_each_rules_constant_is_defined_once():
    rules = Counter(name for path in DISPATCH.glob("*.py") for name in numbers(path))
    assert {"LATE_FACTOR", "_SLACK", "DEPTH", "FAILING_FOR", "PATIENCE"} <= set(rules)
    elsewhere = [
        (name, str(path))
        for room in ("fcdcc_keras", "benchmarks")
        for path in (ROOT / room).rglob("*.py")
        if DISPATCH not in path.parents
        for name in numbers(path)
        if name in rules
    ]
    assert elsewhere == []
    assert [name for name in rules if rules[name] > 1] == []

"""What is not documented is used in one module for each library, in known versions."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BEYOND = re.compile(
    r"keras\.src|tensorflow\.python|from tensorflow import python"
    r"|(from|import) distributed\.(core|protocol|utils|batched|comm\.\w)"
    r"|(?<!self)\._(flatten_layers|layers|inbound_nodes|keras_history|auto_config|adaptive)\b"
    r"|(?<!self)\._(compile_config|build_shapes_dict|tracker|functional)\b"
    r"|recent_message_log|scheduler_comm|stream_comms|dont_reply|\bncores\b"
    r"|[a-z]\.(stream_)?handlers\b|(?<!execution)\.executors\b|UnknownError\.__new__"
)
"""Names of parts that are not documented."""


def test_it_is_used_in_one_module_for_each():
    package = ROOT / "fcdcc_keras"
    found = [
        f"{file.relative_to(package)}: {line.strip()}"
        for file in sorted(package.rglob("*.py"))
        if not file.stem.endswith("_internals")
        for line in file.read_text("utf-8").splitlines()
        if _BEYOND.search(line)
    ]
    assert found == []


def test_the_lowest_versions_are_those_that_the_project_allows():
    least: dict[str, tuple[int, ...]] = {}
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for name, bound in re.findall(r'"([\w-]+)>=([\d.]+)', project):
        # Of two bounds, that of the package and that of its tests, the higher.
        found = tuple(map(int, bound.split(".")))
        least[name] = max(least.get(name, (0,)), found)
    lines = (ROOT / "tests/lowest.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    allowed = {name: ".".join(map(str, least[name])) + ".*" for name in pinned}
    assert pinned == allowed
    depended = project.partition("dependencies = [")[2].partition("]")[0]
    assert set(re.findall(r'"([\w-]+)>=', depended)) <= set(pinned)

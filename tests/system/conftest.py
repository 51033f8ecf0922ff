"""Code blocks and scripts for tests that run them; workers for those that stop them."""

import os
import re
import runpy
import signal
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from distributed import Client

from fcdcc_keras.execution.cluster.embedded import (
    start_local_cluster,
    stop_local_cluster,
)

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"^(?:<!-- test: (?P<test>\w+) -->\n)?```(?P<language>.*)\n(?P<code>(?s:.*?))^```$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    line: int
    language: str
    code: str
    test: str | None
    """Name in the comment ``<!-- test: name -->`` above: a test of its own runs it."""

    def __str__(self):
        return f"{self.page}:{self.line}"


class Documentation:
    """README and the pages of the site."""

    pages = ("README.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")))

    def blocks(self, page):
        text = (ROOT / page).read_text("utf-8")
        found = [
            Block(
                page,
                text.count("\n", 0, match.start("code")),
                match["language"],
                match["code"],
                match["test"],
            )
            for match in FENCE.finditer(text)
        ]
        assert text.count("\n```") == 2 * len(found), f"{page}: a fence is not closed"
        return found

    def block(self, page, test):
        """The code of the block that a test runs."""
        (found,) = (b.code.strip() for b in self.blocks(page) if b.test == test)
        return found


@pytest.fixture(scope="session")
def documentation():
    return Documentation()


@pytest.fixture(scope="session")
def run_example():
    """Runs an example as a program, in this process, which has loaded TensorFlow.

    Returns what it prints.
    """

    def run(name, *arguments):
        path = str(ROOT / "examples" / name)
        printed = StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
            patch.setattr(sys, "argv", [path, *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(path, run_name="__main__")
        assert ended.value.code == 0
        return printed.getvalue()

    return run


WORKERS = 5
"""Of the cluster whose workers are stopped and killed."""


@pytest.fixture(scope="module")
def processes():
    """Worker processes, which their nannies start again when they are killed."""
    owner = start_local_cluster(WORKERS)
    yield owner
    stop_local_cluster(owner)


@pytest.fixture
def cluster(processes):
    """A client of its own, of all the workers; what was stopped runs again after."""
    address = processes.scheduler.address
    with Client(address, set_as_default=False, direct_to_workers=True) as client:
        client.wait_for_workers(WORKERS, timeout=60)
        client.pids = client.run(os.getpid)
        yield client
        for pid in client.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

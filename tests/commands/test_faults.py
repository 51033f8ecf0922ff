"""Scripts of faults: what they may say, and when each happens."""

from collections import deque

import pytest

from fcdcc_keras.commands.faults import parse, schedule, take_due
from fcdcc_keras.errors import FcdccError


def test_a_script_is_read() -> None:
    script = """kill 2 at image 100; STOP 0, 3 at 40%
        # a comment; kill 9 at image 1
        resume 3 at 62.5 % ;;  # and another
    """
    kill, stop, resume = parse(script)
    assert (kill.action, kill.workers, kill.due(1000)) == ("kill", (2,), 100)
    assert (stop.action, stop.workers, stop.due(1000)) == ("stop", (0, 3), 400)
    assert (resume.text, resume.due(1000)) == ("resume 3 at 62.5 %", 625)
    assert parse("") == parse(" ; \n # nothing") == ()


def test_faults_happen_in_order() -> None:
    faults = parse("kill 1 at 90%; restart 2 at image 5; stop 0 at 0%; resume 0 at 50%")
    found = [fault.action for fault in schedule(faults, workers=3, images=10)]
    assert found == ["stop", "restart", "resume", "kill"]
    assert schedule((), workers=3, images=10) == []


def test_each_is_due_once_before_its_image() -> None:
    left = deque(schedule(parse("stop 0 at image 4; kill 1 at 50%"), 3, images=12))
    taken = [[f.action for f in take_due(left, end, images=12)] for end in (4, 8, 12)]
    assert taken == [[], ["stop", "kill"], []]
    assert not left


@pytest.mark.parametrize(
    "script",
    [
        *("burn 2 at image 3", "kill at image 3", "kill 2", "kill two at 3%"),
        *("kill 2 at image 3%", "kill 2 at 30", "kill 2 at image -1", "kill 2,at 1%"),
    ],
)
def test_what_is_no_fault_is_refused(script: str) -> None:
    with pytest.raises(FcdccError, match=rf"must be stop.*Received: '{script}'"):
        parse(f"stop 0 at 10%; {script}")


@pytest.mark.parametrize(
    ("script", "rule"),
    [
        ("kill 4 at 10%", "numbered from 0 to 3"),
        ("kill 0,4 at 10%", "numbered from 0 to 3"),
        ("kill 1 at image 50", "before the last image"),
        ("stop 1 at 100%", "before the last image"),
        ("resume 1 at 90%; kill 1 at image 3", "takes no more faults"),
        ("restart 1 at 1%; restart 1 at 2%", "takes no more faults"),
    ],
)
def test_what_cannot_happen_is_refused(script: str, rule: str) -> None:
    with pytest.raises(FcdccError, match=rf"{rule}.*Received: "):
        schedule(parse(script), workers=4, images=50)

"""What is made of findings: each fault, what is said of it, and what makes none."""

from dataclasses import replace
from pathlib import Path

import pytest

from fcdcc_keras.doctor import ways
from fcdcc_keras.doctor.diagnosis import diagnose
from fcdcc_keras.doctor.expectation import Expectation
from fcdcc_keras.doctor.findings import Expected, InUse, SchedulerFound, Touch, host_of
from fcdcc_keras.doctor.needs import is_older, room_of
from fcdcc_keras.doctor.programs import rate_of
from fcdcc_keras.doctor.trouble import Trouble, joined
from fcdcc_keras.planning.cost import narrowness
from fcdcc_keras.worker.exchange import WAITED
from tests.doctor.found import OPEN, SOFTWARE, SPEED, findings, runs, worker

ZERO = "kitchen0 (192.168.1.10:40000)"
REFUSED, DROPPED = Touch("refused"), Touch("dropped")
UNREACHED = {
    "by_client": DROPPED,
    "answers_client": False,
    "by_scheduler": DROPPED,
    "answers_scheduler": False,
    "to_scheduler": None,
    "software": None,
    "clock": None,
    "link": None,
    "speed": None,
}


def test_of_a_cluster_that_is_well_nothing_is_said():
    assert diagnose(findings()) == []


@pytest.mark.parametrize(
    ("change", "kind", "fatal", "what", "mend"),
    [
        (UNREACHED, "unreachable", True, "firewall", "let port 40000 of 192.168.1.10"),
        (
            {**UNREACHED, "by_client": REFUSED, "by_scheduler": REFUSED},
            *("unreachable", True, "nothing listens", "--contact-address"),
        ),
        (
            {
                **UNREACHED,
                "address": "tcp://127.0.0.1:40000",
                "by_client": REFUSED,
            },
            *("unreachable", True, "nothing listens", "start it with --host"),
        ),
        (
            {**UNREACHED, "by_client": OPEN, "by_scheduler": OPEN},
            *("stalled", True, "does not answer", "kill -CONT"),
        ),
        (
            {"by_client": DROPPED, "answers_client": False, "link": None},
            *("not direct", False, "only by the scheduler: nothing comes", "firewall"),
        ),
        (
            {"by_scheduler": DROPPED, "answers_scheduler": False},
            *("not from scheduler", True, "only by this client: nothing", "firewall"),
        ),
        (
            {"to_scheduler": DROPPED},
            *("scheduler unreachable", False, "does not reach", "port 8786"),
        ),
        (
            {"software": runs(fcdcc_keras="0.0.9")},
            *("version", True, "has fcdcc_keras 0.0.9", "[worker]==0.1.0'"),
        ),
        (
            {"software": runs(fcdcc_keras=None), "speed": None},
            *("version", True, "is not installed", "pip install"),
        ),
        (
            {"software": runs(python="3.12.1"), "speed": None},
            *("python", False, "Python 3.12.1, this client 3.11.7", "Python 3.11 "),
        ),
        (
            {"software": runs(distributed="2025.1.0")},
            *("dask version", False, "distributed 2025.1.0", "'distributed==2026.8.0'"),
        ),
        ({"software": None}, "silent", True, "does not say", "restart"),
        (
            {"software": runs(engines={}), "speed": None},
            *("silent", True, "has not run what it was sent", "log"),
        ),
        (
            {"software": runs(engines={"light": None, "tensorflow": None})},
            *("no engine", True, "nothing to compute with", "fcdcc-keras[worker]"),
        ),
        (
            {"software": runs(engines={"light": "1.4.0"})},
            *("old engine", False, "light 1.4.0, of which 2.1", "[worker]"),
        ),
        (
            {"ailing": "RuntimeError: no", "speed": None},
            *("engine", True, "does not convolve: RuntimeError: no", "log"),
        ),
        (
            {"late": 8.0, "speed": None},
            *("slow", False, "not convolved after 8 s", "--timeout"),
        ),
        ({"clock": -7300.0}, "clock", False, "2 hours behind", "set-ntp"),
        ({"clock": 1.2}, "clock", False, "1.2 s ahead", "set-ntp"),
        (
            {"status": "paused", "memory": InUse(1.7e9, 2e9)},
            *("memory", True, "out of memory: it has 1.7 GB in use of 2 GB", "limit"),
        ),
        (
            {"memory": InUse(65e6, 100e6)},
            *("memory", True, "may use 100 MB, while its engine (light)", "240 MB"),
        ),
        (
            {"status": "closing_gracefully"},
            *("leaving", True, "is closing gracefully", "start it anew"),
        ),
        (
            {"speed": replace(SPEED, pairs=(*SPEED.pairs[:2], (0.02, 0.08)))},
            *("slow", False, "of the usual worker's speed", "heat"),
        ),
    ],
)
def test_what_is_amiss_with_a_worker(change, kind, fatal, what, mend):
    (one,) = diagnose(findings(change))
    assert (one.kind, one.where[0].partition(" ")[0]) == (kind, "kitchen0")
    assert one.fatal is fatal
    assert what in one.what
    assert mend in f"{one.mend} "


@pytest.mark.parametrize(
    "change",
    [
        {"clock": 1.5, "doubt": 0.6},  # it may be right
        {"software": runs(numpy="1.26.0")},
        # The engine that is not used may be an old one.
        {"software": runs(engines={"light": "2.3.0", "tensorflow": "2.1.0"})},
        {"memory": InUse(700e6, 0.0)},  # any
        {"software": runs(python="3.11.2")},
    ],
)
def test_what_is_nothing(change):
    assert diagnose(findings(change)) == []


def cut(*ways, how=DROPPED):
    """Returns findings in which some workers, by number, do not reach others."""
    workers = list(findings().workers)
    for a, b in ways:
        there = {**workers[a].to_workers, workers[b].address: how}
        workers[a] = replace(workers[a], to_workers=there)
    return findings(workers=tuple(workers))


@pytest.mark.parametrize(
    ("found", "where", "what", "mend"),
    [
        (
            cut(*((a, b) for a in range(4) for b in range(4) if a != b)),
            ["kitchen0", "kitchen1", "kitchen2", "kitchen3"],
            "is not reached by other workers: nothing comes back",
            "reach each other's ports",
        ),
        (
            cut(*((a, 2) for a in (0, 1, 3)), how=REFUSED),
            ["kitchen2"],
            "is not reached by other workers: nothing listens",
            "--contact-address",
        ),
        (
            cut(*((2, b) for b in (0, 1, 3))),
            ["kitchen2"],
            "does not reach kitchen0, kitchen1, kitchen3: nothing comes back",
            "reach each other's ports",
        ),
        (
            findings({"unexchanged": "it waited for what another worker was to give"}),
            ["kitchen0"],
            "does not exchange halos with other workers: it waited",
            "log",
        ),
        (
            findings(
                {"unexchanged": f"{WAITED}: tile 1"}, {"unexchanged": "no certificate"}
            ),
            ["kitchen1"],
            "does not exchange halos with other workers: no certificate",
            "certificates",
        ),
    ],
)
def test_who_does_not_reach_whom(found, where, what, mend):
    (one,) = diagnose(found)
    assert [name.partition(" ")[0] for name in one.where] == where
    assert not one.fatal
    assert what in one.what
    assert "all tiles go by way of the client, which is slower and as right" in one.what
    assert mend in one.mend


def test_a_worker_that_some_do_not_reach_and_one_that_none_does():
    found = diagnose(cut((0, 2), (1, 2), (3, 2), (0, 1)))
    said = {name.partition(" ")[0]: one.what for one in found for name in one.where}
    assert said.keys() == {"kitchen2", "kitchen0"}
    assert "is not reached by other workers" in said["kitchen2"]
    assert "does not reach kitchen1:" in said["kitchen0"]


def test_three_faults_are_named_at_once():
    ill = (
        UNREACHED,
        {"software": runs(fcdcc_keras="0.0.9"), "speed": None},
        {"status": "paused"},
    )
    found = diagnose(findings(*ill))
    assert [one.kind for one in found] == [
        *("unreachable", "version", "memory", "too few"),
    ]
    assert [one.where[0].partition(" ")[0] for one in found] == [
        *("kitchen0", "kitchen1", "kitchen2", "scheduler"),
    ]


def test_a_worker_may_have_several_faults():
    change = {"software": runs(fcdcc_keras="0.0.9", dask="1.0"), "clock": 60.0}
    kinds = [one.kind for one in diagnose(findings({**change, "status": "paused"}))]
    assert sorted(kinds) == ["clock", "dask version", "memory", "version"]


def test_what_several_have_is_said_once():
    change = {"software": runs(fcdcc_keras="0.0.9"), "speed": None}
    (one,) = diagnose(findings(change, change), stragglers=1)
    assert [name.partition(" ")[0] for name in one.where] == ["kitchen0", "kitchen1"]


def test_the_fatal_comes_first():
    def trouble(kind, fatal):
        return Trouble(kind, (kind,), "is so", "mend it", fatal)

    given = [trouble("a", False), trouble("b", True), trouble("c", False)]
    assert [one.kind for one in joined(given)] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("ill", "stragglers", "few"), [(2, 1, False), (3, 1, True), (2, 2, True)]
)
def test_as_many_must_be_well_as_may_be_missing_and_one(ill, stragglers, few):
    found = diagnose(findings(*[UNREACHED] * ill), stragglers)
    said = [one for one in found if one.kind == "too few"]
    assert bool(said) is few
    if few:
        assert f"too few workers are well: {4 - ill} of 4;" in said[0].what
        assert "fcdcc-keras worker tcp://192.168.1.1:8786" in said[0].mend


@pytest.mark.parametrize("door", ways.DOORS)
def test_what_is_at_the_schedulers_address(door):
    address = "tls://192.168.1.1:8786" if door == "speaks no TLS" else "tcp://a:8786"
    found = findings(
        address=address, scheduler=SchedulerFound(door, "said so"), workers=()
    )
    (one,) = diagnose(found)
    assert one.kind == f"scheduler: {door}"
    assert one.fatal
    assert one.what
    assert one.mend


def test_a_client_needs_keras_and_tensorflow():
    client = replace(SOFTWARE, engines={"light": "2.3.0", "keras": "3.15.0"})
    (one,) = diagnose(findings(client=client))
    assert (one.kind, one.where) == ("client software", ("client",))
    assert "tensorflow is not installed" in one.what


def test_who_was_ended_for_memory_is_told():
    scheduler = findings().scheduler
    ended = replace(scheduler, ended_for_memory={"tcp://a:1": 1.9e9})
    (one,) = diagnose(findings(scheduler=ended))
    assert (one.kind, one.where, one.fatal) == (
        *("ended for memory", ("tcp://a:1",), False),
    )
    assert "1.9 GB" in one.what


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (Expected("kitchen0"), None),
        (Expected("192.168.1.10"), None),
        (Expected("192.168.1.10:40000"), None),
        (Expected("tcp://192.168.1.10:40000"), None),
        (Expected("board9", ("192.168.1.13",), OPEN), None),
        (Expected("head"), None),  # what its machine calls itself
        (Expected("kitchen"), "check the name"),
        (Expected("board9", ("192.168.1.90",), REFUSED), "its machine is up"),
        (Expected("board9", ("192.168.1.90",), DROPPED), "does not answer"),
    ],
)
def test_who_is_missing(expected, said):
    change = {"software": SOFTWARE}
    found = diagnose(findings(change, expected=(expected,)))
    if said is None:
        assert found == []
    else:
        (one,) = found
        assert (one.kind, one.where) == ("missing", (expected.name,))
        assert said in f"{one.what}; {one.mend}"
        assert "fcdcc-keras worker tcp://192.168.1.1:8786" in one.mend


def test_a_model_needs_memory():
    model = Expectation("VGG16", 4, held=400_000_000)
    well = findings(*[{"memory": InUse(130e6, 4e9)}] * 4)
    assert diagnose(well, 1, [model]) == []
    # 0.8 of 1 GB, less what its engine takes, is less than three times 400 MB.
    change = {"memory": InUse(60e6, 1e9)}, *[{"memory": InUse(130e6, 4e9)}] * 3
    (one,) = diagnose(findings(*change), 1, [model])
    assert (one.kind, one.where, one.fatal) == ("memory for model", (ZERO,), True)
    assert "has room for 680 MB, while VGG16 needs 1.2 GB" in one.what


def test_workers_of_one_machine_share_its_memory():
    software = replace(SOFTWARE, available=1e9)
    workers = [worker(n, software=software, memory=InUse(130e6, 0.0)) for n in range(4)]
    assert room_of(workers[0], "light", workers) == 0.25e9
    assert room_of(workers[0], "light", workers[:1]) == 1e9
    # It has not loaded its engine yet.
    young = replace(workers[0], memory=InUse(60e6, 0.0))
    assert room_of(young, "light", workers[:1]) == 1e9 - 60e6
    unknown = replace(young, software=None)
    assert room_of(unknown, "light", workers) is None


def test_a_model_that_cannot_be_planned():
    model = Expectation("Dense", 4, trouble="nothing to code")
    (one,) = diagnose(findings(), 1, [model])
    assert (one.kind, one.fatal) == ("model", True)
    assert "Dense cannot be planned: nothing to code" in one.what


def test_rate_of_convolutions():
    # As many as wide layers would have in the time.
    wide = 28**2 * 128**2 * 9 / narrowness(128)
    assert rate_of(SPEED) == pytest.approx(wide / 0.004, rel=0.02)


@pytest.mark.parametrize(
    ("version", "least", "older"),
    [
        ("2.0.9", "2.1", True),
        ("2.1.0", "2.1", False),
        ("2.21.0", "2.18", False),
        ("2.3.0rc1", "2.3", False),
        ("unknown", "2.1", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version, least, older):
    assert is_older(version, least) is older


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("tcp://[fe80::1]:8786", "fe80::1"),
        ("fe80::1", "fe80::1"),
        ("192.168.1.1", "192.168.1.1"),
        ("kitchen:8786", "kitchen"),
        ("inproc://1/2/3", "1"),
        ("tcp://a:b:c", ""),
        ("", ""),
    ],
)
def test_hosts_of_addresses(address, host):
    assert host_of(address) == host


def test_the_documentation_has_every_kind_of_trouble():
    root = Path(__file__).parents[2]
    page = (root / "docs/doctor.md").read_text("utf-8")
    source = "".join(
        (root / f"fcdcc_keras/doctor/{name}.py").read_text("utf-8")
        for name in ("diagnosis", "ways")
    )
    kinds = {part.split('"')[1] for part in source.split("Trouble(\n")[1:]}
    assert len(kinds) > 15
    for kind in {*kinds, *(f"scheduler: {door}" for door in ways.DOORS)}:
        assert f"`{kind}`" in page

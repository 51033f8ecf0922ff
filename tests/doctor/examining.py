"""The doctor's command, run in this process."""

import json

from click.testing import CliRunner

from fcdcc_keras.cli import main
from fcdcc_keras.doctor import probes
from fcdcc_keras.doctor.probes import Patience

QUICK = {"connect": 0.5, "transfer": 0.1}
"""Seconds for what is instant within a machine, however busy that is."""


def wait(monkeypatch, **seconds):
    """Has the doctor wait for whatever may be slow, but for what is said."""
    long = {"answer": 60.0, "compute": 60.0, "total": 120.0}
    patience = Patience(**{**long, **QUICK, **seconds})
    within = classmethod(lambda cls, total: patience)
    monkeypatch.setattr(probes.Patience, "within", within)


def examined(*words, status=1):
    """Returns what the command says as JSON."""
    done = CliRunner().invoke(main, ["doctor", *words, "--json"])
    assert done.exit_code == status, (done.output, done.exception)
    return json.loads(done.stdout)


def named(said):
    """Returns of each kind of trouble whom it is of, by name.

    But for who is slow: on a busy machine anybody may be.
    """
    found = {}
    for one in [one for one in said["troubles"] if one["kind"] != "slow"]:
        for where in one["where"]:
            found.setdefault(one["kind"], []).append(where.partition(" ")[0])
    return found


def of_kind(said, kind):
    """Returns all that is said of a kind of trouble."""
    found = [one for one in said["troubles"] if one["kind"] == kind]
    return " ".join(f"{one['what']} {one['mend']}" for one in found)


async def start(started, address, *names, **options):
    """Starts workers in this process, by name; returns the last."""
    from distributed import Worker

    for name in names:
        made = Worker(
            address,
            name=name,
            nthreads=1,
            dashboard=False,
            **{"memory_limit": 0, "host": "127.0.0.1", **options},
        )
        started.append(await made)
    return started[-1]

"""What each recipe's cluster is judged by: the shipped data while a worker dies."""

import logging
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from distributed import Client

import fcdcc_keras as fk
from fcdcc_keras.commands import models
from fcdcc_keras.commands.data import open_data
from fcdcc_keras.commands.faults import expected_losses, parse
from fcdcc_keras.commands.side_by_side import compare
from tests.waiting import until

ROOT = Path(__file__).parents[2]
MODEL = "digits-vgg"
"""Trained on first use, in seconds, and kept in the user's cache."""
BATCH = 10
"""Images a batch: 45 batches of the shipped ones."""


@pytest.fixture(scope="session")
def judged():
    """The shipped model, trained, and the images that it was not trained on."""
    with warnings.catch_warnings():
        # Keras's `save` asks TensorFlow's variables for their values in NumPy 1's way.
        warnings.filterwarnings("ignore", "__array__ impl", DeprecationWarning)
        candidate = models.load(MODEL)
    candidate.model.compile(jit_compile=False)
    return candidate.model, open_data(candidate.data, candidate.shape(None))


@pytest.fixture
def evaluate_while(judged, halos):
    """Evaluates over a cluster while something happens to it.

    Gives a function: of the scheduler's address; of what is to be called in the middle
    of the evaluation, between two layers of a batch, with the process ids of workers by
    address, as they know them themselves; of whether workers exchange halos, or all
    convolutions are coded; and of ``distribute``'s options. The images come again until
    ``enough`` says so. It returns the ``Comparison`` with the plain model, after
    checking that no prediction differs and that workers have computed every
    convolution.
    """

    def evaluate(
        address,
        strike,
        *,
        at="40%",
        enough=None,
        workers=None,
        exchanging=False,
        **options,
    ):
        plain, data = judged
        took = []

        def struck(pids):
            began = time.monotonic()
            strike(pids)
            took.append(time.monotonic() - began)

        def batches():
            yield from data.batches(BATCH)
            while enough is not None and not enough():
                yield from data.batches(BATCH)

        options = {"stragglers": 1, "fallback": "raise", **options}
        with Client(address, set_as_default=False, timeout=60) as client:
            if workers:
                client.wait_for_workers(workers, timeout=120)
            pids = client.run(os.getpid)
            if exchanging:
                options["plan"] = halos(plain, workers)
            coded = fk.distribute(plain, client, workers=workers, **options)
            with fk.closing(coded), expected_losses():
                found = compare(
                    plain,
                    coded,
                    batches(),
                    parse(f"kill 0 at {at}"),
                    images=data.images,
                    strike=lambda _: struck(pids),
                )
        logging.getLogger(__name__).info(
            "%d images, %d differ; a batch took %.0f ms, at most %.0f; %.0f of them "
            "what happened took\n%s",
            *(found.images, len(found.differences)),
            *(1e3 * f(found.coded_seconds) for f in (median, max)),
            1e3 * took[0],
            found.summary,
        )
        assert found.images % data.images == 0
        assert len(found.struck) == 1
        assert found.differences == []
        assert found.coded_right == found.plain_right > 0.9 * found.images
        assert found.deviation < 1e-5
        assert exchanging or found.deviation > 0  # coded, and decoded
        assert found.summary.local == 0
        return found

    return evaluate


@pytest.fixture(scope="session")
def halos():
    """Returns a plan by which some workers exchange halos of the shipped model's.

    As one for a device that is so slow that workers pay, however little there is to do.
    """

    def plan(model, workers):
        slow = fk.Calibration(
            **{"latency": 1e-3, "bandwidth": 1e6, "coding_rate": 1e9},
            **{"worker_rate": 1e7, "client_rate": 1e6, "exchange": 1e-4},
        )
        options = {"objective": "latency", "calibration": slow}
        made = fk.plan(model, workers=workers, stragglers=1, **options)
        assert any(c.exchange for each in made.stretches for c in each.chains), made
        return made

    return plan


@pytest.fixture
def exchange_halos(judged, halos):
    """Has workers exchange halos, until they have with right results.

    Gives a function of the scheduler's address, and of how many workers there are.
    """

    def exchange(address, workers):
        plain, data = judged
        batch, _ = next(data.batches(BATCH))
        wanted = plain.predict_on_batch(batch)
        with Client(address, set_as_default=False, timeout=60) as client:
            client.wait_for_workers(workers, timeout=120)
            plan = halos(plain, workers)
            coded = fk.distribute(plain, client, plan=plan, fallback="raise")
            with fk.closing(coded), fk.trace(coded) as trace:
                until(lambda: _exchanged(coded, batch, wanted, trace, workers))

    return exchange


def _exchanged(coded, batch, wanted, trace, workers):
    """Returns whether all were used, and waited for others' halos."""
    before = len(trace.records)
    scores = coded.predict_on_batch(batch)
    limit = 1e-5 * np.abs(wanted).max()
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=limit)
    return any(
        len(record.subtasks) == workers
        and all(one.outcome == "used" and one.waited > 0 for one in record.subtasks)
        for record in trace.records[before:]
    )


@pytest.fixture(scope="session")
def blocks():
    """Gives the blocks of a page that tests run, by name: ``<!-- test: name -->``."""

    def named(page):
        text = (ROOT / page).read_text("utf-8")
        return dict(
            re.findall(r"<!-- test: (\w+) -->\n```\w+\n((?s:.*?))^```$", text, re.M)
        )

    return named


@pytest.fixture(scope="session")
def run_commands():
    """Runs the lines of a README's block, as a shell does, with these programs first.

    Returns what they print. Gives up after ``timeout`` seconds: a hang is a failure.
    """

    def run(lines, *, folder=ROOT, timeout=250, **environment):
        done = subprocess.run(
            ["sh", "-euc", lines],
            cwd=folder,
            env=programs(environment),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def podman(tmp_path_factory):
    """Podman, where it can run containers."""
    from tests.recipes.podman import Podman

    return Podman(tmp_path_factory.mktemp("podman"))


@pytest.fixture(scope="session")
def images(podman, blocks, run_commands):
    """What the README of ``cluster/containers`` has built: some minutes at first."""
    folder = ROOT / "cluster/containers"
    lines = blocks("cluster/containers/README.md")["build"]
    shutil.rmtree(folder / "wheels", ignore_errors=True)
    run_commands(lines, folder=folder, timeout=3000, **podman.environment)


def programs(environment):
    """This environment's, with the programs of the tests' own Python first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **environment}

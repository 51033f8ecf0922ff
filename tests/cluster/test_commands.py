"""Programs that run with a cluster, and clusters that are held."""

import signal

import click
import pytest
from click.testing import CliRunner

from cluster.commands import FOR_PROGRAMS, ClusterCommand, hold
from fcdcc_keras.errors import ClusterError


@click.command(cls=ClusterCommand, context_settings=FOR_PROGRAMS)
@click.option("--jobs", type=int)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def main(jobs, command):
    raise SystemExit(hold("tcp://127.0.0.1:1", f"{jobs} workers", command))


def invoke(*words):
    # It has Ctrl-C interrupt the process, as tests' own does.
    return CliRunner().invoke(main, ["--jobs", "2", *words])


@pytest.mark.parametrize("dashes", [[], ["--"]])
def test_a_program_finds_the_address_and_its_exit_code_is_given(dashes, capfd):
    words = ["sh", "-c", "echo $DASK_SCHEDULER_ADDRESS --jobs; exit 7"]
    assert invoke(*dashes, *words).exit_code == 7
    assert capfd.readouterr().out == "tcp://127.0.0.1:1 --jobs\n"
    assert invoke(*dashes, "sh", "-c", "kill -9 $$").exit_code == 128 + 9


def test_what_is_no_program_is_named():
    done = invoke("no-such-program")
    assert done.exit_code == 1
    assert "Received: 'no-such-program', " in done.output
    with pytest.raises(ClusterError, match="python SCRIPT"):
        hold("tcp://127.0.0.1:1", "", ("no-such-program",))


def test_a_cluster_is_held_until_an_interrupt(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(signal, "pause", interrupted)
    done = invoke()
    assert done.exit_code == 0
    assert (
        done.output == "2 workers, scheduler at tcp://127.0.0.1:1. Ctrl-C ends them.\n"
    )

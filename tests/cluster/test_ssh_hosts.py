"""Hosts files, and what is said of machines that lack something."""

import socket

import pytest
from click.testing import CliRunner

from cluster.ssh import cli, trouble
from cluster.ssh.hosts import Host, parse_hosts
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.version import __version__


def test_a_hosts_file_names_machines_and_what_they_are_for():
    text = """
    # The scheduler's comes first.
    head
    pi@192.168.1.11:2222  workers=4 python=~/fcdcc/bin/python  # the new one
    [fd00::12] address=192.168.1.12
    root@[fd00::13]:22
    """
    assert parse_hosts(text) == (
        Host("head", workers=0),
        Host("192.168.1.11", "pi", 2222, "~/fcdcc/bin/python", workers=4),
        Host("fd00::12", address="192.168.1.12"),
        Host("fd00::13", "root", 22),
    )
    assert parse_hosts("head workers=1") == (Host("head"),)


@pytest.mark.parametrize("name", ["one", "pi@one", "pi@[::1]:22", "one:22"])
def test_a_machine_is_called_as_the_file_has_it(name):
    assert str(parse_hosts(f"{name} workers=1")[0]) == name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pi@", "line 2: 'pi@'"),
        ("one:0", "'one:0'"),
        ("one:65536", "'one:65536'"),
        ("one:ssh", "'one:ssh'"),
        ("fd00::1", "'fd00::1'"),
        ("one two", "'one two'"),
        ("one workers=-1", "workers=-1"),
        ("one workers=many", "workers=many"),
        ("one workers=", "workers="),
        ("one workers=1 workers=2", "workers=1 workers=2"),
        ("one threads=1", "threads=1"),
        ("head", "once.*line 2: 'head'.*workers=2"),
    ],
)
def test_a_line_that_is_none_is_named(line, said):
    with pytest.raises(ClusterError, match=said):
        parse_hosts(f"head\n{line}")


@pytest.mark.parametrize("text", ["", "# nothing", "head", "head\none workers=0"])
def test_workers_must_be_somewhere(text):
    with pytest.raises(ClusterError, match=r"workers=1.*as pi@"):
        parse_hosts(text)


PI = Host("board", "pi", 2222, "~/bin/python")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (socket.gaierror(-2, "Name or service not known"), "No machine has this name"),
        (ConnectionRefusedError(111, "refused"), "apt install openssh-server"),
        (TimeoutError(), "^TimeoutError. It does not answer"),
        (OSError(113, "No route to host"), "No route to host. There is no way to it"),
        (type("PermissionDenied", (Exception,), {})("no"), "copy-id -p 2222 pi@board"),
        (type("HostKeyNotVerifiable", (Exception,), {})(), "it: ssh -p 2222 pi@board"),
        (ValueError("new"), "ValueError: new. Try by hand: ssh -p 2222 pi@board"),
    ],
)
def test_an_error_of_ssh_comes_with_what_to_do(error, advice):
    text = trouble.of_connection(PI, error)
    with pytest.raises(
        ClusterError, match=f"(?s)pi@board:2222: {text[:9]}.*hosts file"
    ):
        trouble.refuse({PI: text})
    with pytest.raises(AssertionError, match=advice):
        raise AssertionError(text)


def answer(output, errors="", host=PI):
    return trouble.of_answer(host, "/usr/bin/python3", output, errors)


def test_a_machine_that_has_all_lacks_nothing():
    greeting = "Welcome!\n"
    assert answer(f"{greeting}fcdcc_keras: {__version__}\nfcdcc_keras: light\n") is None
    assert answer(f"fcdcc_keras: {__version__}\n", host=Host("a", workers=0)) is None
    trouble.refuse({})


@pytest.mark.parametrize(
    ("output", "errors", "said"),
    [
        ("", "sh: 1: ~/bin/python: not found", "does not run: sh: .*python=PATH"),
        ("", "", "does not run: nothing"),
        (
            "hello",
            "x\nModuleNotFoundError: No module named 'fcdcc_keras'",
            "has no fcd",
        ),
        ("fcdcc_keras: 0.0.1", "", f"0.0.1, not {__version__}. There: ~/bin/python -m"),
        (
            f"fcdcc_keras: {__version__}",
            "ClusterError: A worker",
            "no engine.*: A work",
        ),
    ],
)
def test_what_a_machine_lacks_is_said(output, errors, said):
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(answer(output, errors))


def test_the_question_is_one_that_this_package_answers(capsys):
    exec(trouble.QUESTION, {})
    assert answer(capsys.readouterr().out) is None


def test_the_command_needs_its_package_and_a_file(tmp_path, monkeypatch):
    file = tmp_path / "hosts"
    file.write_text("head\none:none")
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    done = CliRunner().invoke(cli.main, [str(file)])
    assert done.exit_code == 1
    assert "pip install asyncssh" in done.output
    assert CliRunner().invoke(cli.main, [str(tmp_path / "none")]).exit_code == 2

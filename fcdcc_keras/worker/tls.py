"""The files of certificates that commands take, for ``tls://`` addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from distributed import Security

FILES = {
    "ca-file": "the authority's certificate",
    "cert": "the {role}'s certificate",
    "key": "the {role}'s private key",
}
"""What each of the options ``--tls-…`` names."""


def tls_options(role: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Returns what gives a command the options, ``tls_ca_file`` and so on.

    Args:
        role: Whose certificate it is: "client" or "worker".
    """

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for name, what in reversed(FILES.items()):
            command = click.option(
                f"--tls-{name}",
                type=click.Path(exists=True, dir_okay=False),
                metavar="FILE",
                help=f"For tls:// addresses: {what.format(role=role)}, in PEM.  "
                "[default: Dask's configuration]",
            )(command)
        return command

    return add


def parameter_of(name: str) -> str:
    """Returns what click, and argparse, call the option of a file."""
    return f"tls_{name.replace('-', '_')}"


def security_of(role: str, files: Mapping[str, Any]) -> Security:
    """Returns the certificates of the options; Dask's configuration has the others.

    Args:
        role: Whose they are: "client" or "worker".
        files: The options' files by ``parameter_of``; None: not given.
    """
    from distributed import Security

    names = {"ca-file": "tls_ca_file"}
    given = {
        names.get(name, f"tls_{role}_{name}"): files[parameter_of(name)]
        for name in FILES
    }
    return Security(**{name: file for name, file in given.items() if file is not None})

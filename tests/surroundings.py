"""Runs the tests, or some, as they may be started elsewhere. By hand: it takes long.

.venv/bin/python tests/surroundings.py [--only NAME]... [PYTEST_ARGUMENT]...
"""

from __future__ import annotations

import argparse
import subprocess
import sys

SURROUNDINGS = {
    "background": "trap '' INT HUP QUIT; exec setsid \"$@\" < /dev/null",
    "no-input": 'exec "$@" <&-',
    "umask": 'umask 077; exec "$@"',
    "locale": 'LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 exec "$@"',
    "no-home": 'HOME=/dev/null/home exec "$@"',
    "terminal": 'COLUMNS=40 FORCE_COLOR=1 TERM=xterm exec "$@"',
    "busy": 'for i in 1 2; do nice sh -c "while :; do :; done" & p="$p $!"; done; '
    'trap "kill $p" EXIT; "$@"',
}
"""What a shell does before it runs the tests, by name."""


def main() -> int:
    """Runs pytest in each; returns how many of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=SURROUNDINGS)
    chosen, arguments = parser.parse_known_args()
    pytest = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
    failed = []
    for name in chosen.only or SURROUNDINGS:
        sys.stdout.write(f"\n{name}:\n")
        sys.stdout.flush()
        shell = ["sh", "-c", SURROUNDINGS[name], "sh"]
        if subprocess.run([*shell, *pytest, *arguments]).returncode:
            failed.append(name)
    sys.stdout.write(f"\nFailed: {', '.join(failed) or 'none'}.\n")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())

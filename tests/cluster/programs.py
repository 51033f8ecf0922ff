"""Programs that make labs: processes of their own, for they must be isolated."""

import sys
import textwrap

MODULE = [sys.executable, "-m", "cluster.edge_lab"]
_HEAD = """
import errno, json, os, signal, socket, subprocess, sys, time
from cluster.edge_lab import edge_lab, isolate, warm
"""
CUT_OFF = """
def check_cut_off(routes):
    with open("/proc/net/route") as table:
        found = [line.split()[:3] for line in table][1:]
    assert [(name, to, gateway) for name, to, gateway in found] == routes, found
    # Connecting a datagram socket looks for a route, and sends nothing.
    for address in ("192.0.2.1", "198.51.100.1", "203.0.113.1"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            assert probe.connect_ex((address, 9)) == errno.ENETUNREACH
    # So it is safe to try in earnest, with an address that nobody has.
    with socket.socket() as probe:
        assert probe.connect_ex(("203.0.113.1", 9)) == errno.ENETUNREACH
"""


def program(*parts):
    return [sys.executable, "-c", _HEAD + "".join(map(textwrap.dedent, parts))]


def lab_program(*parts):
    """Returns the command line of a program that may make labs."""
    return program("isolate()\n", *parts)

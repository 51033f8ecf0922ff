"""The process that owns everything of a lab, and takes it down when its user ends.

It ends, and takes everything with it, when the process that started it says so or
has gone, however that came about. It has one thread and imports little, so that it
may fork and change namespaces.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any

from cluster.edge_lab.assembly import Assembly
from cluster.edge_lab.protocol import MOST_BYTES
from fcdcc_keras.errors import ClusterError


def main() -> None:
    """Serves the process at the other end of a socket until it has gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    parent, devices, client = map(int, sys.argv[2:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    watched = os.pidfd_open(parent)
    lab = Assembly(str(os.getpid()))
    try:
        if os.getppid() != parent:
            return
        channel.send(_answer(0, _set_up, lab, devices, bool(client)))
        while True:
            readable, _, _ = select.select([channel.fileno(), watched], [], [])
            if watched in readable:
                return
            message, streams, _, _ = socket.recv_fds(channel, MOST_BYTES, 3)
            if not message:
                return
            request = json.loads(message)
            if request["do"] == "spawn":
                answer = _answer(request["number"], lab.spawn, request, streams)
            else:
                answer = _answer(request["number"], lab.poll, request["pid"])
            for stream in streams:
                os.close(stream)
            channel.send(answer)
    except ConnectionError:
        return
    finally:
        lab.take_down()


def _set_up(lab: Assembly, devices: int, client: bool) -> dict[str, Any]:
    lab.set_up(devices, client)
    return {
        "name": lab.name,
        "links": [link.namespace for link in lab.links],
        "cgroups": [str(cgroup.path) for cgroup in lab.cgroups],
        "version": lab.cgroups[0].version,
    }


def _answer(number: int, function: Any, *arguments: Any) -> bytes:
    answer: dict[str, Any] = {"to": number}
    try:
        answer["value"] = function(*arguments)
    except ClusterError as error:
        answer |= {"error": str(error), "ours": True}
    except (OSError, subprocess.SubprocessError) as error:
        code = getattr(error, "errno", None) or 0
        text = os.strerror(code) if code else str(error)
        answer |= {"error": text, "errno": code, "ours": False}
    return json.dumps(answer).encode()


if __name__ == "__main__":
    main()

"""Whether a lab can be brought up on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from cluster.edge_lab.cgroups import find_controller
from fcdcc_keras.errors import ClusterError

_TOOLS = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}


def check_requirements() -> None:
    """Checks that a lab can be brought up here.

    Raises:
        ClusterError: It cannot, and why.
    """
    if sys.platform != "linux":
        raise ClusterError(
            "The lab is made of Linux namespaces. Received: a system of the kind "
            f"{sys.platform!r}. Run it on Linux."
        )
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({_TOOLS[tool] for tool in missing}))
        named = " and no ".join(missing)
        raise ClusterError(
            f"The lab needs {', '.join(_TOOLS)}. Received: no {named} on the "
            f"path. Install them, as with `apt install {packages}`."
        )
    if os.geteuid() != 0:
        raise ClusterError(
            "Only root may make namespaces, links and quotas. Received: user "
            f"{os.geteuid()}. Run it with sudo."
        )
    where = find_controller().mount
    if os.statvfs(where).f_flag & os.ST_RDONLY:
        raise ClusterError(
            f"The lab makes cgroups in {where}. Received: a file system that can only "
            "be read. In a container, run it with `--privileged --cgroupns=host`."
        )
    _try_out(
        "unshare --net --mount --pid --fork true",
        "the right to make namespaces (CAP_SYS_ADMIN)",
    )
    bucket = "tc qdisc add dev lo root tbf rate 1gbit burst 128kb latency 50ms"
    _try_out(f"unshare --net {bucket}", "sch_tbf in the kernel")


def _try_out(command: str, needed: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(
            f"The lab needs {needed}. Received: {done.stderr.strip()!r} from "
            f"`{command}`. Run it where that works; a container needs `--privileged`."
        )

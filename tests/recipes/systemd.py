"""A systemd of its own: a user's manager, which sees a machine that it has booted."""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.waiting import until

_MANAGER = "/lib/systemd/systemd"
_HIERARCHIES = [
    folder
    for folder in map(Path, ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"))
    if (folder / "cgroup.procs").exists()
] or [Path("/sys/fs/cgroup")]
# It asks whether the machine was booted by systemd, in a folder that only it sees here,
# and covers what services are not to see with what the boot has put there.
_BOOTED = """
for folder; do mkdir "$folder"; echo $$ > "$folder/cgroup.procs"; done
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/systemd/inaccessible/dir
touch /run/systemd/inaccessible/reg
exec /lib/systemd/systemd --user --log-target=null
"""


def missing():
    """What of the programs that this needs is not installed, or rights."""
    names = ("systemd-analyze", "shellcheck", "unshare", "nsenter", _MANAGER)
    found = [name for name in names if not shutil.which(name)]
    return found or ([] if os.geteuid() == 0 else ["root's rights"])


@contextmanager
def manager(folder: Path):
    """Starts it; gives what runs its ``systemctl``, and returns what that says."""
    (folder / "run").mkdir(mode=0o700)
    environment = {
        **{"PATH": os.environ["PATH"], "HOME": str(folder)},
        **{"XDG_RUNTIME_DIR": str(folder / "run")},
    }
    cgroups = [each / f"fcdcc-recipe-{os.getpid()}" for each in _HIERARCHIES]
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-euc", _BOOTED, "sh", *map(str, cgroups)],
        env=environment,
    )

    def systemctl(*words):
        done = subprocess.run(
            [
                *("nsenter", f"--mount=/proc/{process.pid}/ns/mnt"),
                *("systemctl", "--user", *words),
            ],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, 3), done.stderr  # 3: it does not run
        return done.stdout.strip()

    try:
        until((folder / "run/systemd/private").exists)
        yield systemctl
        systemctl("exit")
        process.wait(60)
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.send_signal(signal.SIGKILL)
            process.wait()
        for cgroup in cgroups:
            for each in sorted(cgroup.rglob("*/"), reverse=True):
                each.rmdir()
            cgroup.rmdir()

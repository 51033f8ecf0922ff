"""SSH servers on loopback, each of which stands for a machine."""

import shutil
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.scheduler import free_port
from tests.waiting import listens, until


@dataclass
class Machine:
    """A server of its own, with what is started by way of it."""

    name: str
    port: int
    server: subprocess.Popen

    def processes(self):
        """All that was started by way of it, whosever child it is by now."""
        own = psutil.Process(self.server.pid).children(recursive=True)
        return [*own, *(p for p in psutil.process_iter() if self._started(p, own))]

    def _started(self, process, own):
        try:
            mark = process.environ().get("SSH_CONNECTION", "")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return mark.endswith(f" {self.port}") and process not in own

    def commands(self):
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                found.append(" ".join(process.cmdline()))
        return found

    def lose_power(self):
        for process in (psutil.Process(self.server.pid), *self.processes()):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def missing():
    """What of the programs that this needs is not installed."""
    names = ("sshd", "ssh-keygen", "ssh-keyscan")
    return [name for name in names if not _program(name)]


def _program(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


@contextmanager
def machines(folder: Path, *names):
    """Starts them; gives them, and an SSH configuration by which they are reached."""
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd leaves itself no rights but there
    for key in ("host", "user", "stranger"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)],
            check=True,
        )
    authorized = folder / "authorized_keys"
    authorized.write_bytes((folder / "user.pub").read_bytes())
    started = []
    try:
        for name in names:
            port = free_port("127.0.0.1")
            settings = folder / f"sshd-{name}"
            settings.write_text(
                f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'host'}\n"
                f"AuthorizedKeysFile {authorized}\nPidFile none\nStrictModes no\n"
                "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                "UsePAM no\nPermitRootLogin prohibit-password\n"
            )
            with (folder / f"sshd-{name}.log").open("w") as log:
                server = subprocess.Popen(
                    [_program("sshd"), "-D", "-e", "-f", str(settings)], stderr=log
                )
            started.append(Machine(name, port, server))
        for machine in started:
            until(lambda port=machine.port: listens(port))
        yield started, _configuration(folder, started)
    finally:
        for machine in started:
            machine.lose_power()
            machine.server.wait()


def _configuration(folder, started):
    public = " ".join((folder / "host.pub").read_text().split()[:2])
    known = folder / "known_hosts"
    known.write_text(
        "".join(f"[127.0.0.1]:{machine.port} {public}\n" for machine in started)
    )
    file = folder / "config"
    file.write_text(
        "".join(
            f"Host {machine.name}\n  HostName 127.0.0.1\n  Port {machine.port}\n"
            for machine in started
        )
        + f"Host *\n  IdentityFile {folder / 'user'}\n"
        f"  UserKnownHostsFile {known}\n  IdentitiesOnly yes\n"
    )
    return file

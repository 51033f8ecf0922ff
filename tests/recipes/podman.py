"""Podman, as this machine lets it run containers, and the images of the recipes."""

import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.recipes.conftest import ROOT, programs

FOLDER = ROOT / "cluster/containers"
_PUBLIC = "docker.io/library/python:3.12-slim-bookworm"
_OWN = "localhost/fcdcc-base"
_TESTS = "localhost/fcdcc-base-tests"


class Podman:
    """Runs podman by its command line, with the environment that makes it work here."""

    def __init__(self, folder):
        needs("podman", "podman-compose")
        if os.geteuid() != 0:
            pytest.skip("containers are run as root here")
        self.folder = folder
        self.environment = {}
        base = next((image for image in (_PUBLIC, _OWN) if self.has(image)), None)
        if base is None:
            _make_base()
        self._choose_runtime(base or _OWN)
        self._with_this_registry(base or _OWN)
        self.environment["BASE"] = _TESTS

    def __call__(self, *arguments, check=True, timeout=120):
        done = subprocess.run(
            ["podman", *map(str, arguments)],
            env=programs(self.environment),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def has(self, image):
        return self("image", "exists", image, check=False).returncode == 0

    def kill(self, container):
        """Kills a container's process from outside, as the kernel would."""
        pid = self("inspect", "--format", "{{.State.Pid}}", container).stdout
        os.kill(int(pid), 9)

    def _choose_runtime(self, image):
        """Finds one that works here; skips with what each says if none does."""
        said = []
        # Podman's own limit is above what some machines allow.
        files = min(1 << 16, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        limits = f'"nofile={files}:{files}", "nproc=4096:4096"'
        for runtime in filter(shutil.which, ("crun", "runc")):
            file = self.folder / f"{runtime}.conf"
            file.write_text(
                f"[containers]\ndefault_ulimits = [{limits}]\n"
                f'[engine]\nruntime = "{runtime}"\n'
            )
            self.environment["CONTAINERS_CONF"] = str(file)
            tried = self("run", "--rm", image, "true", check=False)
            if tried.returncode == 0:
                return
            said.append(f"{runtime}: {tried.stderr.strip()}")
        pytest.skip(f"podman runs no container here. {'; '.join(said)}")

    def _with_this_registry(self, base):
        """Makes a base whose pip knows the registry that this machine's knows."""
        context = self.folder / "base"
        settings = _pip_settings()
        lines = [f"{name} = {value}" for name, value in settings.items()]
        files = {"etc/pip.conf": "\n".join(["[global]", *lines, ""])}
        if "cert" in settings:
            files[settings["cert"].lstrip("/")] = Path(settings["cert"]).read_text()
        for name, text in files.items():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            (context / name).write_text(text)
        copies = "".join(f"COPY {name} /{name}\n" for name in files)
        (context / "Containerfile").write_text(f"FROM {base}\n{copies}")
        self("build", "--tag", _TESTS, context)


def needs(*names):
    for name in names:
        if shutil.which(name, path=programs({})["PATH"]) is None:
            pytest.skip(f"{name} is not installed")


def _make_base():
    needs("debootstrap")
    sources = Path("/etc/apt/sources.list.d").glob("debian.sources")
    text = "".join(file.read_text() for file in sources)
    mirrors = re.findall(r"^URIs: (\S+)", text, re.MULTILINE)
    make = [FOLDER / "make_base.sh", *mirrors[:1]]
    subprocess.run(make, check=True, timeout=1200)


def _pip_settings():
    done = subprocess.run(
        ["pip", "config", "list"],
        env=programs({}),
        capture_output=True,
        text=True,
        check=True,
    )
    settings = {}
    for line in done.stdout.splitlines():
        key, value = line.split("=", 1)
        name = key.rpartition(".")[2]
        if name in ("index-url", "cert", "trusted-host", "default-timeout"):
            settings[name] = value.strip("'\"")
    return settings

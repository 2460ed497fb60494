"""The images of these tests: stand-ins for what cannot be pulled, and the project's own on top.

Podman keeps them, and the layers of their builds, between runs. An image of the same name that was
pulled is used as it is: then nothing is stood in for.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.astro.podman import BUILD, image_exists, labels, podman

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]

STAND_IN = "io.gamebot.stand-in"
DEBIAN = "localhost/gamebot-stand-in/debian"
# Debian 13, as the Runtime since 3.2.
RELEASE = "trixie"
PACKAGES = "ca-certificates,passwd,python3,python3-venv,tini"
# What a slim image leaves out too.
WITHOUT = ("man", "doc", "locale", "info")


def runtime_image() -> str:
    """Return the name after the Dockerfile's FROM, whose image is pulled or stood in for."""
    dockerfile = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    name = re.match(r"FROM (\S+)\n", dockerfile)
    assert name, "the Dockerfile must begin with FROM"
    _provide(name.group(1), HERE / "runtime-stand-in")
    return name.group(1)


def postgres_image(name: str) -> str:
    """Return an image of docker.io/postgres, pulled or stood in for."""
    assert re.fullmatch(r"docker\.io/postgres:17(\..*)?", name), f"the stand-in is a 17, not {name}"
    _provide(name, HERE / "postgres-stand-in")
    return name


def project_image() -> str:
    """Build the Dockerfile as it stands; returns the image's name, which the CLI would give it."""
    runtime_image()
    name = f"{project_name()}/airflow:latest"
    build(name, PROJECT)
    return name


def project_name() -> str:
    """Return what the CLI's images and containers of this checkout begin with."""
    return f"gamebot_{hashlib.md5(str(PROJECT).encode(), usedforsecurity=False).hexdigest()[:6]}"


def build(name: str, context: Path) -> None:
    """Build the Dockerfile of a folder, with this machine's package index and certificates."""
    with machine_settings() as volumes:
        podman("build", *BUILD, *volumes, "--tag", name, context)


def _provide(name: str, stand_in: Path) -> None:
    if image_exists(name) and STAND_IN not in labels(name):
        return
    _provide_debian()
    build(name, stand_in)


def _provide_debian() -> None:
    """Make a minimal Debian from its packages, since no image of it can be pulled."""
    tag = hashlib.sha256(f"{RELEASE} {PACKAGES} {WITHOUT}".encode()).hexdigest()[:12]
    if not image_exists(f"{DEBIAN}:{tag}"):
        if not shutil.which("mmdebstrap"):
            pytest.skip("needs mmdebstrap: apt install mmdebstrap")
        exclude = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in WITHOUT]
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "debian.tar"
            _run(
                "mmdebstrap",
                "--quiet",
                "--variant=apt",
                f"--include={PACKAGES}",
                *exclude,
                RELEASE,
                archive,
                _mirror(),
            )
            podman("import", "--quiet", archive, f"{DEBIAN}:{tag}")
    podman("tag", f"{DEBIAN}:{tag}", f"{DEBIAN}:latest")


def _mirror() -> str:
    """Return where this machine gets Debian's packages from."""
    listing = _run(
        "apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"
    ).split()
    if not listing:
        pytest.skip("needs a mirror of Debian in /etc/apt, and apt-get update")
    return listing[0]


@contextmanager
def machine_settings() -> Iterator[list[str]]:
    """Lend a container this machine's certificates and package index; no image keeps them."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"/etc/ssl/certs/ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt"}
        if index := os.environ.get("PIP_INDEX_URL") or os.environ.get("UV_DEFAULT_INDEX"):
            for target, content in {
                "/etc/pip.conf": f"[global]\nindex-url = {index}\n",
                "/etc/uv/uv.toml": f'[[index]]\nurl = "{index}"\ndefault = true\n',
            }.items():
                files[target] = str(Path(folder, Path(target).name))
                Path(files[target]).write_text(content, encoding="utf-8")
        yield [f"--volume={source}:{target}:ro" for target, source in files.items()]


def _run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

"""Podman, as far as these tests drive it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

# Where the machine itself is a container or a sandbox, podman may make no namespaces to build in,
# and its default limits are above what such a machine allows. Nothing is pulled.
BUILD = ("--isolation", "chroot", "--format", "docker", "--pull-never")
RUN = ("--runtime", "runc", "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=30000:30000")


class PodmanError(RuntimeError):
    """A command of podman failed; the message holds what it printed."""


def reason_to_skip() -> str | None:
    """Return what this machine lacks, None when it lacks nothing."""
    missing = [name for name in ("podman", "buildah", "runc") if not shutil.which(name)]
    if missing:
        return f"needs {', '.join(missing)}: apt install podman buildah runc netavark aardvark-dns"
    if os.geteuid() != 0:
        return "needs root, to build without namespaces and to publish ports"
    return None


def podman(
    *arguments: str | Path, stdin: bytes | None = None, check: bool = True, timeout: int = 1800
) -> subprocess.CompletedProcess[str]:
    """Run one command of podman.

    Raises:
        PodmanError: it failed, and `check` says that it must not.
    """
    command = ["podman", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)
    output = subprocess.CompletedProcess(
        command,
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
    )
    if check and output.returncode:
        tail = "\n".join((output.stdout + output.stderr).splitlines()[-60:])
        raise PodmanError(f"{' '.join(command)}\n{tail}")
    return output


def create(*arguments: str | Path) -> str:
    """Create a container; returns its id."""
    return podman("create", *RUN, *arguments).stdout.strip()


def run(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a container to its end, and remove it."""
    return podman("run", "--rm", *RUN, *arguments, check=check)


def image_exists(name: str) -> bool:
    """Whether this machine has an image of that name."""
    return podman("image", "exists", name, check=False).returncode == 0


def inspect(name: str) -> dict[str, Any]:
    """Return what podman knows of an image or a container."""
    return json.loads(podman("inspect", name).stdout)[0]


def labels(image: str) -> dict[str, str]:
    """Return an image's labels."""
    return inspect(image)["Config"].get("Labels") or {}

"""Networks as containers have them: with ports of their own, and names that others lack."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Namespace:
    """A network namespace, made by `namespace`."""

    name: str

    def command(self, *command: str) -> list[str]:
        """Return a command that runs in it, with its own /etc/hosts."""
        return ["ip", "netns", "exec", self.name, *command]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread, and what it starts, open its sockets there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _enter(there)
            try:
                yield
            finally:
                _enter(home)
        finally:
            os.close(there)
            os.close(home)


@contextmanager
def namespace(suffix: str, hosts: Mapping[str, str] | None = None) -> Iterator[Namespace]:
    """Make a namespace with a loopback of its own; skips the test where that is not allowed.

    Args:
        suffix: tells it apart from the others of this process.
        hosts: the address of each name that resolves in it, besides localhost.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2, to make a network as containers have it")
    # A name of an interface has 15 characters at most.
    name = f"gb{os.getpid()}{suffix}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot make a network namespace: {made.stderr.strip()}")
    files = Path("/etc/netns") / name
    try:
        files.mkdir(parents=True)
        names = {"localhost": "127.0.0.1", **(hosts or {})}
        (files / "hosts").write_text("".join(f"{it} {host}\n" for host, it in names.items()))
        _ip("-n", name, "link", "set", "lo", "up")
        yield Namespace(name)
    finally:
        shutil.rmtree(files)
        _ip("netns", "del", name)


@contextmanager
def bridged(there: Namespace, here: str, address: str) -> Iterator[None]:
    """Connect a namespace with this one by a cable: this end has address `here`."""
    cable = f"{there.name}v"
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", there.name)
    try:
        _ip("addr", "add", f"{here}/30", "dev", cable)
        _ip("link", "set", cable, "up")
        _ip("-n", there.name, "addr", "add", f"{address}/30", "dev", "eth0")
        _ip("-n", there.name, "link", "set", "eth0", "up")
        yield
    finally:
        _ip("link", "del", cable)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")

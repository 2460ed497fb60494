"""Machines for workers, made of Linux namespaces: what one of them has, no other can see.

Each has processes, a host name, a network address, /tmp and a home of its own, and runs as a user
of its own without privileges. Of this machine's files it sees the system's, read-only what the
image would hold, and nothing else below the folders that are hidden. It can be switched off like a
machine.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HIDDEN = ("/tmp", "/var/tmp", "/dev/shm", "/root", "/home", "/srv")
HOME = "/srv/worker"
FIRST_USER = 61000

# Runs as root within the new namespaces, and ends as the command of a user without privileges.
# The image's folders are put aside, since some lie below what is hidden.
PREPARE = r"""
set -eu
user=$1 name=$2 home=$3 hidden=$4 image=$5
shift 5
hostname "$name"
mount -t tmpfs tmpfs /mnt
number=0
for folder in $image; do
    number=$((number + 1))
    mkdir "/mnt/$number"
    mount --bind "$folder" "/mnt/$number"
done
for folder in $hidden; do
    mount -t tmpfs -o mode=1777 tmpfs "$folder"
done
number=0
for folder in $image; do
    number=$((number + 1))
    mkdir -p "$folder"
    mount --bind "/mnt/$number" "$folder"
    mount -o remount,bind,ro "$folder"
    umount "/mnt/$number"
done
umount /mnt
install -d -m 700 -o "$user" -g "$user" "$home"
cd "$home"
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set -all "$@"
"""


def run(*command: str) -> None:
    """Run one of the system's programs."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@dataclass(frozen=True)
class Network:
    """A switch to which machines are plugged; this machine has the first address."""

    name: str
    subnet: str
    """Its first three numbers."""

    @property
    def address(self) -> str:
        """Where this machine is reached from the others."""
        return f"{self.subnet}.1"

    @classmethod
    @contextmanager
    def laid(cls, number: int) -> Iterator[Network]:
        """Lay it: of the addresses that are reserved for tests of networks (RFC 2544)."""
        network = cls(f"gb{number % 100_000}", f"198.18.{number % 250}")
        run("ip", "link", "add", network.name, "type", "bridge")
        try:
            run("ip", "address", "add", f"{network.address}/24", "dev", network.name)
            run("ip", "link", "set", network.name, "up")
            yield network
        finally:
            run("ip", "link", "delete", network.name)


@dataclass
class WorkerMachine:
    """One machine and the one program that it runs."""

    name: str
    number: int
    network: Network
    image: Sequence[Path]
    log: Path
    _unshare: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def _namespace(self) -> str:
        return f"{self.network.name}-{self.number}"

    @property
    def _cable(self) -> str:
        return f"{self.network.name}v{self.number}"

    @property
    def user(self) -> int:
        """The number of the user that runs the program; no other machine's is the same."""
        return FIRST_USER + self.number

    def switch_on(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the machine and its program, which sees these variables and no others."""
        self._plug_in()
        unshare = ("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
        arguments = (str(self.user), self.name, HOME, " ".join(HIDDEN), " ".join(self._shown()))
        with self.log.open("ab") as output:
            self._unshare = subprocess.Popen(
                [
                    *("ip", "netns", "exec", self._namespace, *unshare, "--mount-proc"),
                    *("sh", "-c", PREPARE, "sh", *arguments, *command),
                ],
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "HOME": HOME,
                    "USER": self.name,
                    "LANG": "C.UTF-8",
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End every process with signal 9 at once; the network says goodbye for them."""
        for process in self.processes()[:1]:
            process.kill()
        if self._unshare:
            self._unshare.wait(30)
        self._unplug()

    def vanish(self) -> None:
        """Lose power: nobody gets to say goodbye."""
        run("ip", "link", "set", self._cable, "down")
        self.kill()

    @property
    def is_on(self) -> bool:
        """Whether the program runs."""
        return self._unshare is not None and self._unshare.poll() is None

    def processes(self) -> list[psutil.Process]:
        """Return the machine's processes, its first one first."""
        if not self.is_on or self._unshare is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._unshare.pid).children(recursive=True)
        return []

    def temporary_files(self) -> list[str]:
        """Return what its program has left in /tmp."""
        return sorted(
            path.name for path in self._tmp().iterdir() if path.lstat().st_uid == self.user
        )

    def temporary_bytes(self) -> int:
        """Return how much of its /tmp is in use."""
        with suppress(OSError, IndexError):
            return shutil.disk_usage(self._tmp()).used
        return 0

    def _tmp(self) -> Path:
        return Path("/proc", str(self.processes()[0].pid), "root", "tmp")

    def _shown(self) -> list[str]:
        return [str(folder) for folder in self.image]

    def _plug_in(self) -> None:
        space, cable = self._namespace, self._cable
        run("ip", "netns", "add", space)
        run(
            *("ip", "link", "add", cable, "type", "veth"),
            *("peer", "name", "eth0", "netns", space),
        )
        run("ip", "link", "set", cable, "master", self.network.name, "up")
        inside = ("ip", "-netns", space)
        address = f"{self.network.subnet}.{10 + self.number}/24"
        run(*inside, "address", "add", address, "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "link", "set", "lo", "up")

    def _unplug(self) -> None:
        run("ip", "link", "delete", self._cable)
        run("ip", "netns", "delete", self._namespace)

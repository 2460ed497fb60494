"""Where the local stack keeps everything that it writes: one folder outside the checkout.

Two clones have two folders, so their servers, passwords and data never meet, and `make clean`
knows exactly what is its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]

SECRETS = (
    "postgres_superuser",
    "postgres_pipeline",
    "postgres_reader",
    "postgres_airflow",
    "airflow_admin",
    "airflow_api_secret_key",
    "airflow_jwt_secret",
)

# Names the checkout that a folder belongs to; what lacks it is never deleted.
MARKER = "checkout"


class StateError(RuntimeError):
    """The state folder cannot be used; the message says why and what to do."""


class Busy(StateError):
    """Another process of this checkout is at work."""


def default_folder(checkout: Path, environ: Mapping[str, str], *, root: bool) -> Path:
    """Return the state folder of a checkout: `GAMEBOT_STATE_DIR` or one named after its path.

    Root's is under /var/lib, because Postgres refuses to run as root and whoever it runs as
    cannot look into root's home.
    """
    if chosen := environ.get("GAMEBOT_STATE_DIR"):
        return Path(chosen).expanduser().absolute()
    name = f"{checkout.name}-{hashlib.sha256(str(checkout).encode()).hexdigest()[:8]}"
    if root:
        return Path("/var/lib/gamebot") / name
    base = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or Path.home(), ".local/state")
    return Path(base) / "gamebot" / name


@dataclass(frozen=True)
class State:
    """The state folder of one checkout."""

    folder: Path
    checkout: Path = CHECKOUT

    @classmethod
    def open(cls, environ: Mapping[str, str] = os.environ) -> State:
        """Find this checkout's folder and create it when it is not there yet.

        Raises:
            StateError: the folder belongs to another checkout, is not ours or cannot be written.
        """
        state = cls(default_folder(CHECKOUT, environ, root=os.geteuid() == 0))
        state.create()
        return state

    def create(self) -> None:
        """Create the folder and mark it as this checkout's; raises as `open` does."""
        try:
            if self.folder.is_dir() and any(self.folder.iterdir()) and self.owner() is None:
                raise StateError(
                    f"{self.folder} holds files that are not the local stack's. "
                    "Set GAMEBOT_STATE_DIR to an empty or new folder."
                )
            # Others may pass through root's folder, as the server's user must, but not list it.
            mode = 0o711 if os.geteuid() == 0 else 0o700
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(mode)
            for private in (self.airflow_home, self.logs, self.manifest, self.dbt):
                private.mkdir(mode=0o700, exist_ok=True)
            self.artifacts.mkdir(exist_ok=True)
            if self.owner() is None:
                write_atomically(self.folder / MARKER, f"{self.checkout}\n")
        except OSError as error:
            raise StateError(
                f"The state folder {self.folder} cannot be written ({error.strerror}). "
                "Set GAMEBOT_STATE_DIR to a folder that can."
            ) from error
        if self.owner() != self.checkout:
            raise StateError(
                f"{self.folder} belongs to the checkout {self.owner()}. "
                "Set GAMEBOT_STATE_DIR to another folder for this one."
            )

    def owner(self) -> Path | None:
        """Return the checkout that the folder belongs to, None for a folder that is not ours."""
        try:
            return Path((self.folder / MARKER).read_text().rstrip("\n"))
        except FileNotFoundError:
            return None

    @property
    def postgres(self) -> Path:
        """The embedded Postgres: data, log and, for root, its programs."""
        return self.folder / "postgres"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME."""
        return self.folder / "airflow"

    @property
    def logs(self) -> Path:
        """Logs of Airflow's processes, and of its tasks in `tasks/`."""
        return self.folder / "logs"

    @property
    def artifacts(self) -> Path:
        """What a release leaves besides tables: data files, documentation."""
        return self.folder / "artifacts"

    @property
    def manifest(self) -> Path:
        """The dbt manifest that the DAG is drawn from."""
        return self.folder / "manifest"

    @property
    def dbt(self) -> Path:
        """Targets and logs of dbt runs by hand."""
        return self.folder / "dbt"

    def secrets(self, users: Iterable[str] = ()) -> dict[str, str]:
        """Return the generated passwords and keys, creating those that are missing.

        Args:
            users: who may sign in to Airflow besides its admin.
        """
        wanted = (*SECRETS, *map(password_of_user, users))
        path = self.folder / "secrets.json"
        with self.locked("secrets"):
            known = read_json(path)
            missing = [name for name in wanted if name not in known]
            if missing or "airflow_fernet_key" not in known:
                known |= {name: _token(name) for name in missing}
                known.setdefault("airflow_fernet_key", _fernet_key())
                write_atomically(path, json.dumps(known, indent=1), mode=0o600)
        return known

    @contextmanager
    def locked(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold one of the checkout's locks; the system frees it however the process ends.

        Raises:
            Busy: another process holds it and `wait` is false.
        """
        try:
            with exclusive(self.folder / f"{name}.lock", wait=wait):
                yield
        except BlockingIOError:
            raise Busy(f"another `make {name}` is at work in {self.checkout}") from None


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock that a file stands for; the system frees it however the process ends.

    Raises:
        BlockingIOError: another process holds it and `wait` is false.
    """
    # Never through a link: what stands in for a lock must not be a way to another file.
    flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def password_of_user(user: str) -> str:
    """Return the name of the secret that is the password of an Airflow user."""
    return f"airflow_user_{user}"


def _token(name: str) -> str:
    typed_by_a_person = name == "airflow_admin" or name.startswith(password_of_user(""))
    return secrets.token_urlsafe(12 if typed_by_a_person else 48)


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, an empty one when there is no file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old or the new text, and only `mode` may read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "w") as file:
        file.write(text)
    draft.replace(path)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        # Binding alone is not proof: macOS lets 127.0.0.1 be bound beside a server on 0.0.0.0.
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None) -> int:
    """Return the preferred port when it is free, else any free port of 127.0.0.1."""
    if preferred and port_is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

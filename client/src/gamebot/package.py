"""A data package: a folder of Parquet files that its datapackage.json describes.

It lies on this machine, in a store that a pointer leads into, or both: what a store's package is
asked for is fetched into a cache, held against its checksum, and read from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import duckdb
import fsspec
from fsspec.callbacks import Callback
from fsspec.implementations.local import LocalFileSystem

from gamebot.catalogue import Column, Release, Table
from gamebot.errors import Damaged, MissingExtra, NewerFormat, NoData, Unreachable

POINTER = "package.json"
DESCRIPTION = "datapackage.json"
CHECKSUMS = "SHA256SUMS"

# What this client understands; a package says its own in datapackage.json.
FORMAT = 1

CONNECT_SECONDS, READ_SECONDS = 10, 60

# Names become paths of the cache, so nothing else may be in them.
PARQUET = re.compile(r"parquet/(?P<layer>\w+)/(?P<name>\w+)\.parquet")


class Files(Protocol):
    """The files of one package."""

    origin: str
    """Where they are, for messages."""

    def read(self, name: str) -> bytes:
        """Return the content of a small file.

        Raises:
            FileNotFoundError: the package has none of this name.
        """

    def local(self, name: str, sha256: str) -> Path:
        """Return a file of this machine with the content of one of the package, checked."""


class Package:
    """A source of tables: one package."""

    def __init__(self, files: Files) -> None:
        self._files = files
        try:
            self._sums = _checksums(files.read(CHECKSUMS))
            described = files.read(DESCRIPTION)
        except FileNotFoundError as error:
            raise NoData(
                f"{files.origin} is no whole data package: it lacks {_last(error)}. "
                "make export writes one."
            ) from None
        if hashlib.sha256(described).hexdigest() != self._sums.get(DESCRIPTION):
            raise Damaged(_differs(DESCRIPTION, files.origin))
        self._description = _parsed(described, DESCRIPTION, files.origin)
        _refuse_newer(self._description, files.origin)
        self._paths: dict[str, str] = {}
        self._tables: dict[str, Table] = {}
        self._rows: dict[str, int] = {}
        self._shown: set[str] = set()
        for resource in self._description.get("resources", []):
            # The DuckDB and SQLite files hold the same tables once more.
            if found := PARQUET.fullmatch(str(resource.get("path"))):
                table = _table(resource, **found.groupdict())
                self._tables[table.full_name] = table
                self._paths[table.full_name] = found[0]
                self._rows[table.full_name] = int(resource.get("rows") or 0)

    def release(self) -> Release:
        """Return what the package was made of."""
        return release_of(self._description, self._files.origin)

    def tables(self) -> dict[str, Table]:
        """Return the tables by their full names."""
        return self._tables

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        return self._rows

    def show(self, engine: duckdb.DuckDBPyConnection, tables: Iterable[Table]) -> Release:
        """Make tables readable in DuckDB; return the release that they are of.

        Raises:
            Damaged: a file is not what the package says it is.
            Unreachable: a file cannot be fetched.
        """
        for table in tables:
            if table.full_name in self._shown:
                continue
            name = self._paths[table.full_name]
            file = self._files.local(name, self._sums.get(name, ""))
            # Not a view: a folder may be replaced by a later package while this one is in use.
            try:
                engine.execute(f"create table {table.quoted} as from read_parquet(?)", [str(file)])
            except duckdb.Error as error:
                raise Damaged(f"{name} of {self._files.origin} cannot be read: {error}") from error
            self._shown.add(table.full_name)
        return self.release()


class LocalFiles:
    """The files of a package in a folder."""

    def __init__(self, folder: Path) -> None:
        self.origin = str(folder)
        self._folder = folder

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def local(self, name: str, sha256: str) -> Path:
        path = self._folder / name
        if not path.exists():
            raise Damaged(f"{self.origin} lacks {name}, which its {DESCRIPTION} names.")
        if _sha256(path) != sha256:
            raise Damaged(_differs(name, self.origin))
        return path


class RemoteFiles:
    """The files of a package elsewhere, fetched when they are asked for."""

    def __init__(self, system: fsspec.AbstractFileSystem, root: str) -> None:
        self.origin = system.unstrip_protocol(root)
        self._system = system
        self._root = root
        # Another store may have another release of the same number.
        sums = hashlib.sha256(self.read(CHECKSUMS)).hexdigest()
        self._cache = cache_folder() / f"{PurePosixPath(root).parent.name}-{sums[:12]}"

    def read(self, name: str) -> bytes:
        return _read(self._system, f"{self._root}/{name}")

    def local(self, name: str, sha256: str) -> Path:
        path = self._cache / name
        if path.exists() and _sha256(path) == sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        draft = Path(draft_name)
        try:
            with Progress(name) as progress:
                self._fetch(name, draft, progress)
            if _sha256(draft) != sha256:
                raise Damaged(_differs(name, self.origin))
            # Whoever fetches the same at the same time replaces it by the same.
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return path

    def _fetch(self, name: str, target: Path, progress: Progress) -> None:
        url = f"{self._root}/{name}"
        try:
            self._system.get_file(url, str(target), callback=progress)
        except FileNotFoundError:
            raise NoData(
                f"{self.origin} has no {name} any more: a store keeps the last releases only. "
                "Open it again to read the release that it shows now."
            ) from None
        except Exception as error:  # each kind of store has its own errors
            raise Unreachable(f"{url} cannot be fetched: {_said(error)}") from error


class Progress(Callback):
    """A line that fills while a file arrives: in a terminal and a notebook, never in a log."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._shown = sys.stderr.isatty() or _in_notebook()

    def call(self, *arguments: Any, **named: Any) -> None:
        super().call(*arguments, **named)
        if self._shown and self.size:
            part = min(self.value / self.size, 1)
            bar = ("#" * round(20 * part)).ljust(20)
            line = f"\r{self._name} [{bar}] {self.value / 1e6:.1f} of {self.size / 1e6:.1f} MB"
            print(line, end="", file=sys.stderr, flush=True)

    def __exit__(self, *exception: object) -> None:
        if self._shown and self.size:
            print(file=sys.stderr)


def open_package(place: str) -> Package:
    """Open a package, or the package that a store points at.

    Args:
        place: a folder or a URL that fsspec understands.

    Raises:
        NoData: there is neither.
        Unreachable: the place does not answer, or lets nobody in.
        MissingExtra: a library that this kind of URL needs is not installed.
    """
    place = re.sub(rf"/(?:{POINTER}|{DESCRIPTION})$", "", place.rstrip("/"))
    options: dict[str, Any] = {}
    if place.startswith(("http://", "https://")):
        options = {"get_client": _http_client}
    try:
        system, root = fsspec.url_to_fs(place, **options)
    except ImportError as error:
        raise MissingExtra(
            f"To read {place}: {error}. For s3:// that is pip install 'gamebot-client[s3]'."
        ) from None
    except ValueError as error:
        raise NoData(f"{place} is no place that can be read: {error}") from None
    root = _package_root(system, root.rstrip("/"), place)
    if isinstance(system, LocalFileSystem):
        return Package(LocalFiles(Path(root)))
    return Package(RemoteFiles(system, root))


def _package_root(system: fsspec.AbstractFileSystem, root: str, place: str) -> str:
    try:
        pointer = _read(system, f"{root}/{POINTER}")
    except FileNotFoundError:
        try:
            _read(system, f"{root}/{DESCRIPTION}")
        except FileNotFoundError:
            raise NoData(
                f"There is no data package at {place}: neither {POINTER}, as in a store, nor "
                f"{DESCRIPTION}, as in a package. make export writes a package."
            ) from None
        return root
    said = _parsed(pointer, POINTER, place)
    path = PurePosixPath(str(said.get("path") or "/"))
    if path.is_absolute() or ".." in path.parts:
        raise Damaged(f"{POINTER} of {place} points at {said.get('path')!r}, outside the store.")
    return f"{root}/{path}"


def release_of(description: Mapping[str, Any], origin: str) -> Release:
    """Return the release that a datapackage.json tells of."""
    said = description.get("gamebot") or {}
    return Release(
        release_id=said.get("release_id"),
        commit=said.get("commit"),
        published_at=_moment(said.get("published_at")),
        source=origin,
    )


async def _http_client(**settings: Any) -> Any:
    import aiohttp

    # The machine's proxy counts, and who does not answer is not waited for.
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
    )
    return aiohttp.ClientSession(**{"timeout": timeout, "trust_env": True} | settings)


def cache_folder() -> Path:
    """Return the folder of this user in which fetched files are kept."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "gamebot"


def _read(system: fsspec.AbstractFileSystem, url: str) -> bytes:
    try:
        content: bytes = system.cat_file(url)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(url) from None
    except Exception as error:  # each kind of store has its own errors
        raise Unreachable(
            f"{system.unstrip_protocol(url)} cannot be read: {_said(error)} "
            "Correct the place, or see whether this machine gets there at all."
        ) from error
    return content


def _parsed(content: bytes, name: str, origin: str) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError as error:
        raise Damaged(f"{name} of {origin} is no JSON: {error}.") from None
    if not isinstance(parsed, dict):
        raise Damaged(f"{name} of {origin} holds no object.")
    return parsed


def _refuse_newer(description: dict[str, Any], origin: str) -> None:
    version = int((description.get("gamebot") or {}).get("format") or FORMAT)
    if version > FORMAT:
        raise NewerFormat(
            f"{origin} is a package of format {version}; this client reads up to {FORMAT}. "
            "Install a later gamebot-client."
        )


def _table(resource: dict[str, Any], layer: str, name: str) -> Table:
    fields = resource.get("schema", {}).get("fields", [])
    return Table(
        layer=layer,
        name=name,
        description=str(resource.get("description") or ""),
        columns=tuple(
            Column(each["name"], str(each.get("type", "")), str(each.get("description") or ""))
            for each in fields
        ),
    )


def _checksums(content: bytes) -> dict[str, str]:
    """Return the lines of a file as sha256sum writes it: checksum by name."""
    lines = content.decode(errors="replace").splitlines()
    return {
        name.lstrip("*").strip(): sha256
        for sha256, _, name in (line.partition(" ") for line in lines)
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _differs(name: str, origin: str) -> str:
    return (
        f"{name} of {origin} differs from its line in {CHECKSUMS}: it is damaged, or a later "
        "package has taken its place. Open it again; if that does not help, fetch or export the "
        "package anew."
    )


def _moment(text: str | None) -> datetime | None:
    # Python 3.10 reads no Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def _last(error: FileNotFoundError) -> str:
    return PurePosixPath(str(error.filename or error)).name


def _said(error: Exception) -> str:
    return f"{str(error).strip() or type(error).__name__}."


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")

"""Source `directory`: a folder of .rda files, for replays and tests."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from include.ingestion.reader import shown
from include.ingestion.sources.base import (
    ResolvedSource,
    SourceError,
    SourceFile,
    files_fingerprint,
    git_blob_sha1,
)
from include.ingestion.sources.rda import (
    MAX_FILE_BYTES,
    MAX_TOTAL_BYTES,
    SUFFIX,
    RdaFiles,
    is_plain,
    unknown_datasets,
)


def resolve(directory: str) -> ResolvedSource:
    """Identify the folder's content; a file COMMIT in it names upstream's commit.

    Raises:
        SourceError: the folder is missing, unreadable or holds no .rda file.
    """
    folder = Path(directory)
    fingerprint = files_fingerprint(
        {path.name: git_blob_sha1(content) for path, content in _contents(folder)}
    )
    return ResolvedSource(
        kind="directory",
        version=fingerprint[:16],
        location=str(folder.resolve()),
        commit=_commit(folder / "COMMIT"),
        fingerprint=fingerprint,
    )


def fetch(
    source: ResolvedSource,
    datasets: Collection[str],
    into: Path,
    on_progress: Callable[[str], None],
) -> RdaFiles:
    """Copy the files of the datasets, so that what is checked is what is loaded.

    Raises:
        SourceError: the folder is gone, or holds other content than when it was resolved.
    """
    folder = Path(source.location)
    blobs, files = {}, {}
    for path, content in _contents(folder):
        blobs[path.name] = git_blob_sha1(content)
        if path.stem in datasets:
            copy = into / path.name
            copy.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            files[path.stem] = SourceFile(path=copy, sha256=digest, size=len(content))
    if files_fingerprint(blobs) != source.fingerprint:
        raise SourceError(
            f"The files of {folder} changed since this run began. Start the run again."
        )
    on_progress(f"files   {len(files)} from {folder}")
    return RdaFiles(files, unknown_datasets(_names(folder), datasets))


def _commit(path: Path) -> str | None:
    try:
        found = _read(path).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    if found and not re.fullmatch(r"[0-9a-f]{40}", found):
        raise SourceError(
            f"{path} holds {shown(found)} instead of a commit's 40 hexadecimal digits. Correct it "
            "or remove it."
        )
    return found or None


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.lower().endswith(SUFFIX))


def _contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Give one file after the other, so that memory holds one."""
    if not folder.is_dir():
        raise SourceError(
            f"Folder {folder} does not exist on this machine. Give source 'directory' a folder "
            "that every worker can read."
        )
    try:
        names = [name for name in _names(folder) if is_plain(name)]
        left = MAX_TOTAL_BYTES
        for name in names:
            content = _read(folder / name)
            left -= len(content)
            if left < 0:
                raise SourceError(
                    f"The files of {folder} have more than {MAX_TOTAL_BYTES:,} bytes."
                )
            yield folder / name, content
    except OSError as error:
        raise SourceError(f"Folder {folder} cannot be read: {error.strerror}.") from error
    if not names:
        raise SourceError(f"Folder {folder} holds no {SUFFIX} file.")


def _read(path: Path) -> bytes:
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise SourceError(f"{path} is a link that leads out of its folder. Copy the file instead.")
    # A pipe that nobody writes to must not be waited for.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path} is no regular file.")
        if status.st_size > MAX_FILE_BYTES:
            raise SourceError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes.")
        return file.read(status.st_size)

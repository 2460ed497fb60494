"""Source `directory`: a folder of .rda files, for replays and tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

from include.ingestion.sources.base import (
    ResolvedSource,
    SourceError,
    SourceFile,
    files_fingerprint,
    git_blob_sha1,
)
from include.ingestion.sources.rda import MAX_FILE_BYTES, SUFFIX, RdaFiles


def resolve(directory: str) -> ResolvedSource:
    """Identify the folder's content; a file COMMIT in it names upstream's commit.

    Raises:
        SourceError: the folder is missing, unreadable or holds no .rda file.
    """
    folder = Path(directory)
    contents = _contents(folder)
    fingerprint = files_fingerprint(
        {path.name: git_blob_sha1(content) for path, content in contents.items()}
    )
    commit_file = folder / "COMMIT"
    commit = commit_file.read_text(encoding="utf-8").strip() if commit_file.is_file() else None
    return ResolvedSource(
        kind="directory",
        version=fingerprint[:16],
        location=str(folder.resolve()),
        commit=commit or None,
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
    contents = _contents(folder)
    blobs = {path.name: git_blob_sha1(content) for path, content in contents.items()}
    if files_fingerprint(blobs) != source.fingerprint:
        raise SourceError(
            f"The files of {folder} changed since this run began. Start the run again."
        )
    files = {}
    for path, content in contents.items():
        if path.stem in datasets:
            copy = into / path.name
            copy.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            files[path.stem] = SourceFile(path=copy, sha256=digest, size=len(content))
    on_progress(f"files   {len(files)} from {folder}")
    return RdaFiles(files, sorted(path.stem for path in contents if path.stem not in datasets))


def _contents(folder: Path) -> dict[Path, bytes]:
    if not folder.is_dir():
        raise SourceError(
            f"Folder {folder} does not exist on this machine. Give source 'directory' a folder "
            "that every worker can read."
        )
    try:
        paths = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
        for path in paths:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise SourceError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes.")
        contents = {path: path.read_bytes() for path in paths}
    except OSError as error:
        raise SourceError(f"Folder {folder} cannot be read: {error.strerror}.") from error
    if not contents:
        raise SourceError(f"Folder {folder} holds no {SUFFIX} file.")
    return contents

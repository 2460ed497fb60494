"""Files that a run leaves for people: pages, reports and data, kept at `GAMEBOT_ARTIFACTS_URL`.

Any URL that Airflow's ObjectStoragePath understands will do, such as `s3://connection@bucket/path`;
the default is a folder in the temporary directory, good for one machine only.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from include.folders import copy_files, replacing

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

URL_SETTING = "GAMEBOT_ARTIFACTS_URL"

# Which data package is the one to take: written last, so whoever follows it finds a whole one.
POINTER = "package.json"

# What goes wrong, and what is to be done about it. The first that fits counts.
ADVICE: dict[type[Exception], str] = {
    PermissionError: "The login needs to list, write and delete objects below that path.",
    FileNotFoundError: "The bucket must be there already.",
    OSError: "Correct the place, or make room there.",
}


class ArtifactsError(RuntimeError):
    """Files for people could not be kept or deleted; the message says what to do."""


class ArtifactMissing(ArtifactsError):
    """There is no such file."""


def artifacts_url() -> str:
    """Return where artefacts are kept, without a slash at its end."""
    default = f"file://{tempfile.gettempdir()}/gamebot-artifacts"
    return (os.environ.get(URL_SETTING) or default).rstrip("/")


def keep_files(folder: Path, release_id: int, name: str) -> None:
    """Upload a folder for people: a release is not worse because that failed."""
    try:
        log.info("Files of %s: %s", name, upload_folder(folder, release_id, name))
    except ArtifactsError as error:
        log.error("The files of %s of release %s could not be kept. %s", name, release_id, error)


def upload_folder(folder: Path, release_id: int, name: str, *, last: str | None = None) -> str:
    """Make `<artifacts url>/releases/<release>/<name>` a copy of a folder and return that URL.

    In a local folder it takes the place of the former one at once. An object store knows no
    folders and takes one file after the other.

    Args:
        folder: what to copy.
        release_id: whose files they are.
        name: what they are.
        last: the file that an object store gets after all others: what has it is whole.

    Raises:
        ArtifactsError: the setting is malformed, or the files cannot be written there.
    """
    with _explained():
        target = _path(f"releases/{release_id}/{name}")
        if target.protocol == "file":
            with replacing(Path(target.path)) as draft:
                copy_files(folder, draft)
        else:
            _put(folder, target, last)
    if target.protocol == "file" and os.environ.get("ASTRONOMER_ENVIRONMENT") == "cloud":
        log.warning(
            "%s is on this worker's own disk and goes with the worker: let %s name an object store",
            target,
            URL_SETTING,
        )
    return str(target)


@contextmanager
def local_copy(release_id: int, name: str) -> Iterator[Path | None]:
    """Give the folder of that name, downloaded if need be; None when there is none.

    Raises:
        ArtifactsError: the setting is malformed, or the files cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="gamebot-") as temporary:
        with _explained():
            kept = _path(f"releases/{release_id}/{name}")
            found: Path | None = None
            if kept.fs.exists(kept.path):
                found = Path(kept.path)
                if kept.protocol != "file":
                    found = Path(temporary) / name
                    kept.fs.get(kept.path, str(found), recursive=True)
        yield found


def read_file(release_id: int, name: str) -> bytes | None:
    """Return what a file of a release holds, such as `dbt/manifest.json`; None without one.

    Raises:
        ArtifactsError: the setting is malformed, or the file cannot be read.
    """
    with _explained():
        kept = _path(f"releases/{release_id}/{name}")
        return kept.fs.cat_file(kept.path) if kept.fs.exists(kept.path) else None


def point_at_package(release_id: int, facts: dict[str, Any]) -> None:
    """Let `package.json` name the data package of a release, which is there and whole.

    Raises:
        ArtifactsError: the setting is malformed, or the file cannot be written.
    """
    content = {"release_id": release_id, "path": f"releases/{release_id}/package", **facts}
    with _explained():
        pointer = _path(POINTER)
        text = f"{json.dumps(content, indent=1)}\n".encode()
        if pointer.protocol == "file":
            path = Path(pointer.path)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            draft.write_bytes(text)
            draft.replace(path)
        else:
            pointer.fs.pipe_file(pointer.path, text)


def read_pointer() -> dict[str, Any] | None:
    """Return what `package.json` says; None before the first data package.

    Raises:
        ArtifactsError: the setting is malformed, or the file cannot be read.
    """
    with _explained():
        pointer = _path(POINTER)
        if not pointer.fs.exists(pointer.path):
            return None
        return json.loads(pointer.fs.cat_file(pointer.path))


def delete_folders(releases: Collection[int]) -> None:
    """Delete what is kept of these releases, but for the data package that `package.json` names.

    Raises:
        ArtifactsError: the setting is malformed, or the files cannot be deleted.
    """
    pointer = read_pointer()
    releases = set(releases) - ({pointer["release_id"]} if pointer else set())
    with _explained():
        kept = _path("releases")
        if not kept.fs.exists(kept.path):
            return
        for folder in kept.fs.ls(kept.path, detail=False):
            name = folder.rstrip("/").rpartition("/")[2]
            if name.isdigit() and int(name) in releases:
                _delete(kept / name)


def kept_names(release_id: int) -> list[str]:
    """Return which folders are kept of a release.

    Raises:
        ArtifactsError: the setting is malformed, or the files cannot be listed.
    """
    with _explained():
        folder = _path(f"releases/{release_id}")
        if not folder.fs.exists(folder.path):
            return []
        found = folder.fs.ls(folder.path, detail=False)
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)


def list_kept(folder: str) -> list[tuple[str, int]]:
    """Return path and size of each file below a folder such as `releases/42/package`, in order.

    Raises:
        ArtifactsError: the setting is malformed, or the files cannot be listed.
    """
    with _explained():
        target = _path(folder)
        if not target.fs.exists(target.path):
            return []
        found = target.fs.find(target.path, detail=True)
        # Object stores say their paths without the slash that ours begin with, or the other way.
        start = len(target.path.strip("/")) + 1
        return sorted((path.strip("/")[start:], int(it["size"])) for path, it in found.items())


def open_kept(path: str) -> tuple[IO[bytes], int]:
    """Open a kept file, such as `releases/42/soda/index.html`. Returns it and its size.

    Raises:
        ArtifactMissing: there is no such file, or the path leads elsewhere.
        ArtifactsError: the setting is malformed, or the file cannot be read.
    """
    parts = path.split("/")
    if not all(parts) or {".", ".."} & set(parts) or any(it in path for it in "\\\0"):
        raise ArtifactMissing(f"{path!r} is no path of a kept file.")
    with _explained():
        target = _path(path)
        try:
            # A link that somebody made in a local folder could lead anywhere.
            if target.protocol == "file" and Path(target.path).resolve() != _resolved(path):
                raise ArtifactMissing(f"{path!r} leads elsewhere.")
            found = target.fs.info(target.path)
            if found["type"] != "file":
                raise ArtifactMissing(f"{path!r} is a folder.")
            return target.fs.open(target.path, "rb"), int(found["size"])
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ArtifactMissing(f"{path!r} is not kept.") from error


def _resolved(path: str) -> Path:
    return Path(urlsplit(artifacts_url()).path).resolve() / path


def _path(name: str) -> ObjectStoragePath:
    from airflow.sdk import Connection, ObjectStoragePath
    from airflow.sdk.exceptions import AirflowNotFoundException
    from airflow.sdk.io import has_fs

    url = urlsplit(artifacts_url())
    if ":" in url.netloc.rpartition("@")[0]:
        raise ArtifactsError(
            f"{URL_SETTING} must not hold a login and password: put them into an Airflow "
            "connection and name that, as in s3://connection@bucket/path."
        )
    if not has_fs(url.scheme):
        raise ArtifactsError(
            f"{URL_SETTING} must begin with s3:// or file:///, not with {url.scheme or url.path!r};"
            " other object stores need their provider in requirements.txt: gs:// has "
            "apache-airflow-providers-google, abfs:// apache-airflow-providers-microsoft-azure."
        )
    if url.username:
        # The hook would only warn and go on with whatever credentials the machine has.
        try:
            Connection.get(url.username)
        except AirflowNotFoundException as error:
            raise ArtifactsError(
                f"{URL_SETTING} names connection {url.username!r}, which Airflow does not have."
            ) from error
    return ObjectStoragePath(f"{artifacts_url()}/{name}")


def _put(folder: Path, target: ObjectStoragePath, last: str | None) -> None:
    # Pages of an earlier attempt would stay beside the new ones, which have other names.
    _delete(target)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    final = [path for path in files if last and path.relative_to(folder).as_posix() == last]
    for group in ([path for path in files if path not in final], final):
        copies = [f"{target.path}/{path.relative_to(folder).as_posix()}" for path in group]
        # Many at once, each with the content type of its name. Not the folder as a whole: for that
        # fsspec makes the bucket too, also one whose name is misspelt.
        target.fs.put([str(path) for path in group], copies)


def _delete(folder: ObjectStoragePath) -> None:
    # Object stores know no folders: the prefix is there as long as an object has it.
    if folder.fs.exists(folder.path):
        folder.fs.rm(folder.path, recursive=True)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ArtifactsError:
        raise
    # Each store has errors of its own, of libraries that need not be installed.
    except Exception as error:
        advice = next((ADVICE[kind] for kind in ADVICE if isinstance(error, kind)), "")
        raise ArtifactsError(
            f"{artifacts_url()}: {str(error) or type(error).__name__} ({URL_SETTING}). {advice}"
        ) from error

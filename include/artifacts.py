"""Files that a run leaves for people: pages and reports, kept at `GAMEBOT_ARTIFACTS_URL`.

Any URL that Airflow's ObjectStoragePath understands will do, such as `s3://connection@bucket/path`;
the default is a folder in the temporary directory, good for one machine only.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

URL_SETTING = "GAMEBOT_ARTIFACTS_URL"

# What goes wrong, and what is to be done about it. The first that fits counts.
ADVICE: dict[type[Exception], str] = {
    PermissionError: "The login needs to list, write and delete objects below that path.",
    FileNotFoundError: "The bucket must be there already.",
    OSError: "Correct the place, or make room there.",
}


class ArtifactsError(RuntimeError):
    """Files for people could not be kept or deleted; the message says what to do."""


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


def upload_folder(folder: Path, release_id: int, name: str) -> str:
    """Make `<artifacts url>/releases/<release>/<name>` a copy of a folder and return that URL.

    Raises:
        ArtifactsError: the setting is malformed, or the files cannot be written there.
    """
    with _explained():
        target = _path(f"releases/{release_id}/{name}")
        # Pages of an earlier attempt would stay beside the new ones, which have other names.
        _delete(target)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        copies = [f"{target.path}/{path.relative_to(folder).as_posix()}" for path in files]
        if target.protocol == "file":
            for parent in {copy.rpartition("/")[0] for copy in copies}:
                target.fs.makedirs(parent, exist_ok=True)
        # Many at once, each with the content type of its name. Not the folder as a whole: for that
        # fsspec makes the bucket too, also one whose name is misspelt.
        target.fs.put([str(path) for path in files], copies)
    if target.protocol == "file" and os.environ.get("ASTRONOMER_ENVIRONMENT") == "cloud":
        log.warning(
            "%s is on this worker's own disk and goes with the worker: let %s name an object store",
            target,
            URL_SETTING,
        )
    return str(target)


def delete_folders(releases: Collection[int]) -> None:
    """Delete what is kept of these releases.

    Raises:
        ArtifactsError: the setting is malformed, or the files cannot be deleted.
    """
    with _explained():
        kept = _path("releases")
        if not kept.fs.exists(kept.path):
            return
        for folder in kept.fs.ls(kept.path, detail=False):
            name = folder.rstrip("/").rpartition("/")[2]
            if name.isdigit() and int(name) in releases:
                _delete(kept / name)


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

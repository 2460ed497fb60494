"""Files that a run leaves for people: pages and reports, kept at `GAMEBOT_ARTIFACTS_URL`.

Any URL that Airflow's ObjectStoragePath understands will do, such as `s3://connection@bucket/path`;
the default is a folder in the temporary directory, good for one machine only.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from pathlib import Path


def artifacts_url() -> str:
    """Return where artefacts are kept, without a slash at its end."""
    default = f"file://{tempfile.gettempdir()}/gamebot-artifacts"
    return os.environ.get("GAMEBOT_ARTIFACTS_URL", default).rstrip("/")


def upload_folder(folder: Path, release_id: int, name: str) -> str:
    """Make `<artifacts url>/releases/<release>/<name>` a copy of a folder and return that URL."""
    from airflow.sdk import ObjectStoragePath

    target = ObjectStoragePath(f"{artifacts_url()}/releases/{release_id}/{name}")
    # Pages of an earlier attempt would stay beside the new ones, which have other names.
    if target.is_dir():
        target.rmdir(recursive=True)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(folder).as_posix()
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return str(target)


def delete_folders(releases: Collection[int]) -> None:
    """Delete what is kept of these releases."""
    from airflow.sdk import ObjectStoragePath

    kept = ObjectStoragePath(f"{artifacts_url()}/releases")
    if not kept.is_dir():
        return
    for folder in list(kept.iterdir()):
        if folder.name.isdigit() and int(folder.name) in releases:
            folder.rmdir(recursive=True)

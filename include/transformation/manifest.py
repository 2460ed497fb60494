"""The dbt manifest that DAGs are drawn from, kept under the fingerprint of the project's files.

A changed project has another fingerprint, so a stale manifest is never found and a missing one is
made once by `dbt parse`. The image holds one ready-made; nothing is ever written into the project.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from include.environments import PROJECT_DIR, executable, run

DBT_PROJECT_DIR = PROJECT_DIR / "include" / "dbt"
PROJECT_FILES = ("dbt_project.yml", "models/**/*", "macros/**/*", "seeds/**/*", "tests/**/*")

# `dbt parse` renders the profile but connects to nothing.
UNUSED_CONNECTION = {
    "DB_HOST": "localhost",
    "DB_PORT": "5432",
    "DB_NAME": "unused",
    "DB_USER": "unused",
    "DB_PASSWORD": "",
}


def manifest_path() -> Path:
    """Return the manifest of the dbt project as it stands, making it first if need be.

    It is looked for in `GAMEBOT_MANIFEST_DIR` and in the temporary directory, and made in the first
    of them that can be written.

    Raises:
        CommandFailed: dbt cannot parse the project; the message holds dbt's own.
    """
    name = f"manifest-{project_fingerprint()}.json"
    folders = list(_folders())
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    return _make_manifest(next(folder for folder in folders if _writable(folder)) / name)


def project_fingerprint() -> str:
    """Return a short hash of every file that the manifest depends on."""
    return fingerprint(DBT_PROJECT_DIR, PROJECT_FILES)


def fingerprint(root: Path, patterns: Iterable[str]) -> str:
    """Return a short hash of the names and contents of the matching files below `root`."""
    digest = hashlib.sha256()
    files = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    for path in sorted(files):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _folders() -> Iterable[Path]:
    configured = os.environ.get("GAMEBOT_MANIFEST_DIR")
    if configured:
        yield Path(configured)
    yield Path(tempfile.gettempdir()) / f"gamebot-{os.getuid()}"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _make_manifest(path: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=path.parent) as target:
        run(
            [
                executable("dbt", "dbt"),
                "--quiet",
                "parse",
                "--project-dir",
                DBT_PROJECT_DIR,
                "--profiles-dir",
                DBT_PROJECT_DIR,
                "--target-path",
                target,
                "--log-path",
                target,
            ],
            env=UNUSED_CONNECTION,
            on_line=lambda line: None,
        )
        # Another process may do the same at this moment: both make the same file.
        (Path(target) / "manifest.json").replace(path)
    return path


if __name__ == "__main__":
    print(manifest_path())

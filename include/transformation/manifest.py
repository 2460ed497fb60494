"""What dbt makes of the project alone: its manifest, the graph of its models, the page of docs.

The graph is the small part of the manifest that DAGs are drawn from. Each is kept under the
fingerprint of the project's files. A changed project has another one, so a stale file is never
found and a missing one is made once by dbt, which needs no warehouse for it. The image holds them
ready-made; nothing is ever written into the project.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from include.environments import PROJECT_DIR, executable, run

DBT_PROJECT_DIR = PROJECT_DIR / "include" / "dbt"
PROJECT_FILES = ("dbt_project.yml", "models/**/*", "macros/**/*", "seeds/**/*", "tests/**/*")

# An image has the dbt that its lock names, so a changed lock may mean another manifest too.
DEPENDENCIES = ("requirements.lock",)

Kind = Literal["manifest", "graph", "docs"]
# As dbt calls them; the graph is a manifest as well.
MADE: dict[Kind, str] = {
    "manifest": "manifest.json",
    "graph": "manifest.json",
    "docs": "static_index.html",
}

# What Cosmos reads of a node, and the words for its task.
DRAWN_RESOURCES = ("model", "seed")
DRAWN_FIELDS = (
    "config",
    "depends_on",
    "description",
    "fqn",
    "original_file_path",
    "package_name",
    "resource_type",
    "tags",
)

# dbt renders the profile but connects to nothing.
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
        OSError: neither folder can be written; the message says what to do.
    """
    return _kept("manifest")


def graph_path() -> Path:
    """Return the manifest of seeds and models alone, as far as they are drawn; made likewise.

    Every task reads it, and of the whole manifest nine tenths are tests and macros.

    Raises:
        CommandFailed: dbt cannot parse the project; the message holds dbt's own.
        OSError: neither folder can be written; the message says what to do.
    """
    return _kept("graph")


def docs_path() -> Path:
    """Return dbt's page about the models, in one file, kept and made like the manifest.

    Raises:
        CommandFailed: dbt cannot parse the project; the message holds dbt's own.
        OSError: neither folder can be written; the message says what to do.
    """
    return _kept("docs")


def project_fingerprint() -> str:
    """Return a short hash of every file that the manifest depends on."""
    return fingerprint(DBT_PROJECT_DIR, (*PROJECT_FILES, *DEPENDENCIES))


def fingerprint(root: Path, patterns: Iterable[str]) -> str:
    """Return a short hash of the names and contents of the matching files below `root`."""
    digest = hashlib.sha256()
    files = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    for path in sorted(files):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def run_dbt(
    command: Sequence[str],
    target: str,
    environment: Mapping[str, str],
) -> None:
    """Run dbt on the project, and have it write into `target` alone.

    Raises:
        CommandFailed: the message holds dbt's own.
    """
    run(
        [
            executable("dbt", "dbt"),
            "--quiet",
            *command,
            "--project-dir",
            DBT_PROJECT_DIR,
            "--profiles-dir",
            DBT_PROJECT_DIR,
            "--target-path",
            target,
            "--log-path",
            target,
        ],
        env=environment,
        on_line=lambda line: None,
    )


def _kept(kind: Kind) -> Path:
    name = f"{kind}-{project_fingerprint()}{Path(MADE[kind]).suffix}"
    folders = list(_folders())
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    for folder in folders:
        if _writable(folder):
            return _make(kind, folder / name)
    raise OSError(
        f"The dbt project has no {kind} yet, and none can be kept in "
        f"{' or '.join(map(str, folders))}. Let GAMEBOT_MANIFEST_DIR name a folder that can be "
        "written"
    )


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


def _make(kind: Kind, path: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=path.parent) as target:
        made = Path(target) / MADE[kind]
        if kind == "graph":
            made.write_text(json.dumps(_graph(manifest_path())), encoding="utf-8")
        elif kind == "docs":
            # The page shows the manifest that lies there.
            shutil.copy(manifest_path(), Path(target) / MADE["manifest"])
            # Without a warehouse: no compiled SQL, and no statistics of tables. One file, since the
            # page could not load others from where it is shown.
            docs = ["docs", "generate", "--no-compile", "--empty-catalog", "--static"]
            run_dbt(docs, target, UNUSED_CONNECTION)
        else:
            run_dbt(["parse"], target, UNUSED_CONNECTION)
        # Another process may do the same at this moment: both make the same file.
        made.replace(path)
    return path


def _graph(manifest: Path) -> dict[str, Any]:
    whole = json.loads(manifest.read_text(encoding="utf-8"))
    nodes = {
        unique_id: {name: node[name] for name in DRAWN_FIELDS}
        for unique_id, node in whole["nodes"].items()
        if node["resource_type"] in DRAWN_RESOURCES
    }
    return {"metadata": {"project_name": whole["metadata"]["project_name"]}, "nodes": nodes}


if __name__ == "__main__":
    print(manifest_path())
    print(graph_path())
    print(docs_path())

"""dbt's page about the models of one release, with what the warehouse knows of their tables."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from include.transformation.manifest import run_dbt
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import AUDITOR

log = logging.getLogger(__name__)


def write_release_docs(
    settings: ConnectionSettings, release_id: int, folder: Path, manifest: bytes
) -> None:
    """Write `index.html`, one file that loads no other, into a folder.

    Args:
        settings: a login that may act as `gamebot_auditor`.
        release_id: a release whose tables are there.
        folder: for the page.
        manifest: of the build of the release, with the SQL that ran; nothing is compiled again.

    Raises:
        CommandFailed: dbt could not make it; the message holds dbt's own.
    """
    environment = settings.acting_as(AUDITOR).as_environment() | {
        "DB_ROLE": AUDITOR,
        "DBT_USE_COLORS": "false",
        "GAMEBOT_RELEASE_ID": str(release_id),
    }
    with TemporaryDirectory(prefix="gamebot-") as target:
        # The page shows the manifest that lies there.
        (Path(target) / "manifest.json").write_bytes(manifest)
        command = ["docs", "generate", "--static", "--no-compile"]
        run_dbt(command, target, environment, on_line=log.info)
        shutil.copyfile(Path(target) / "static_index.html", folder / "index.html")

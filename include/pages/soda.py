"""What Soda found in a release, as a page: counts, every check by table, failing rows sampled."""

from __future__ import annotations

from collections import Counter
from datetime import UTC
from itertools import groupby
from pathlib import Path

from psycopg.rows import class_row

from include.warehouse.checks import CheckResult
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import get_release
from include.warehouse.schemas import LAYERS, OWNER

TEMPLATES = Path(__file__).with_name("templates")

# Worst first.
OUTCOMES = {
    "error": "could not be evaluated",
    "failed": "failed",
    "warned": "warned",
    "passed": "passed",
}


def write_soda_page(settings: ConnectionSettings, release_id: int, folder: Path) -> dict[str, int]:
    """Write `index.html` into a folder. Returns how many checks had which outcome.

    Args:
        settings: a login that may act as `gamebot_owner`.
        release_id: its tables may be gone.
        folder: for the page.

    Raises:
        ReleaseError: there is no such release.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    with settings.connect(role=OWNER) as connection:
        release = get_release(connection, release_id)
        with connection.cursor(row_factory=class_row(CheckResult)) as cursor:
            checks = cursor.execute(
                """
                select
                    tool, check_id, layer, table_name, column_name, description, severity,
                    outcome, observed, message
                from ops.check_results
                where release_id = %s and tool = 'soda'
                order by array_position(%s, layer), table_name collate "C", check_id collate "C"
                """,
                (release_id, list(LAYERS)),
            ).fetchall()
    counts: Counter[str] = Counter(check.outcome for check in checks)
    tables = [
        (f"{layer}.{table}", list(found))
        for (layer, table), found in groupby(checks, lambda one: (one.layer, one.table_name))
    ]
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    audited_at = release.audited_at or release.closed_at
    text = environment.get_template("soda.html.j2").render(
        release=release,
        audited_at=f"{audited_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if audited_at else None,
        outcomes=OUTCOMES,
        counts=counts,
        total=len(checks),
        tables=tables,
        troubles=[check for check in checks if check.outcome != "passed"],
    )
    (folder / "index.html").write_text(text, encoding="utf-8")
    return dict(counts)

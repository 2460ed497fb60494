"""Every query of the runbooks runs in the warehouse as it is: at night nobody mends one."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from include.environments import PROJECT_DIR
from include.warehouse.connection import ConnectionSettings

pytestmark = pytest.mark.integration

BLOCK = re.compile(r"^( *)```sql\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
RUNBOOKS = sorted((PROJECT_DIR / "docs" / "runbooks").glob("*.md"))


def queries(page: Path) -> list[str]:
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [query for _, block in blocks for query in block.split(";") if query.strip()]


def test_queries_of_the_runbooks_run(warehouse_admin: ConnectionSettings) -> None:
    found = {page.name: queries(page) for page in RUNBOOKS if queries(page)}
    assert {"README.md", "late-run.md", "slow-run.md"} <= set(found)
    with warehouse_admin.connect(autocommit=True) as connection:
        for release in (41, 42):
            connection.execute(f"create schema gold_r{release}")
            connection.execute(
                f"create table gold_r{release}.ml_features_non_edit (castaway_id text)"
            )
        for page, texts in found.items():
            for text in texts:
                try:
                    connection.execute(f"explain {text}")
                except psycopg.Error as error:
                    pytest.fail(f"docs/runbooks/{page}: {error}\n{text}")

"""The statements that a dbt build left in its target folder, for running them without dbt."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from psycopg import sql

RELATIONS = ("seed", "model")
TESTS = ("test", "unit_test")
TABLE = re.compile(r'create\s+table\s+("[^\s(]+)')


def sql_of_relations(project: Path) -> list[str]:
    """Return what creates and fills each seed and model, in an order in which that can be done.

    Args:
        project: a folder of dbt's in which a build has just ended.

    Raises:
        LookupError: the SQL of one of them is not where dbt keeps it.
    """
    run = _run_folder(project)
    files = {path.stem: path for path in run.rglob("*") if _is_relation(path.relative_to(run))}
    statements = []
    for result in _results(project, RELATIONS):
        name = result["unique_id"].split(".")[2]
        if name not in files:
            raise LookupError(f"dbt left no SQL of {name} in {run}.")
        statement = files[name].read_text()
        if files[name].suffix == ".csv":
            statement = _with_values(statement, project / files[name].relative_to(run))
        # Under its final name at once.
        statements.append(statement.replace("__dbt_tmp", ""))
        # Its hook, which dbt writes down nowhere.
        statements += [f"analyze {table}" for table in TABLE.findall(statements[-1])]
    return statements


def sql_of_tests(project: Path) -> list[str]:
    """Return what asks for the failures of each test, and the difference that each unit test finds.

    Raises:
        LookupError: dbt left the SQL of more or fewer tests than it ran.
    """
    run = _run_folder(project)
    files = [
        it
        for it in sorted(run.rglob("*.sql"))
        if it.is_file() and not _is_relation(it.relative_to(run))
    ]
    ran = len(_results(project, TESTS))
    if len(files) != ran:
        raise LookupError(f"dbt ran {ran} tests, but left the SQL of {len(files)} in {run}.")
    return [path.read_text() for path in files]


def _run_folder(project: Path) -> Path:
    (folder,) = (project / "target" / "run").iterdir()
    return folder


def _results(project: Path, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    results = json.loads((project / "target" / "run_results.json").read_text())["results"]
    return [result for result in results if result["unique_id"].split(".")[0] in kinds]


def _is_relation(path: Path) -> bool:
    """Whether it is not a test, which is kept below the .yml file that names it, or in tests/."""
    *folders, _ = path.parts
    is_test = folders[:1] == ["tests"] or any(name.endswith(".yml") for name in folders)
    return path.suffix in (".sql", ".csv") and not is_test


def _with_values(statement: str, seed: Path) -> str:
    """Put a seed's values in the places that dbt's driver fills."""
    with seed.open(newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    pieces = statement.split("%s")
    values = [_literal(value) for row in rows for value in row]
    if len(values) != len(pieces) - 1:
        raise LookupError(f"{seed} has {len(values)} values, its SQL takes {len(pieces) - 1}.")
    filled = [piece + value for piece, value in zip(pieces, [*values, ""], strict=True)]
    return "".join(filled)


def _literal(value: str) -> str:
    return sql.Literal(value).as_string() if value else "null"

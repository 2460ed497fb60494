"""Every DAG file imports: what `astro dev parse` runs, and `astro deploy` before it ships.

The Astro CLI calls this file by its name. It replaces the one that the CLI generates, which builds
the DAG bag with an argument that Airflow 3.3 no longer has, needs a database, and knows neither the
`default` of the SDK's `Variable.get` nor a standalone project, whose AIRFLOW_HOME is elsewhere.

Connections, variables and environment variables that a deployment would have are stood in for
while the files are read, so the verdict is about the code alone.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parent.parent
DAGS = PROJECT / "dags"
EXCEPTIONS = PROJECT / ".astro" / "dag_integrity_exceptions.txt"

# Other code of this process asks for these and understands only "not set".
NOT_MOCKED = ("JENKINS_HOME", "PYTEST_THEME")


class AnyKey(dict[str, Any]):
    """A variable's JSON content, whatever key is asked for."""

    def __missing__(self, key: str) -> str:
        return f"MOCKED_{key.upper()}_VALUE"


def mocked_getenv(key: str, default: str | None = None) -> str | None:
    """Stand in for `os.getenv`: the value, else the default, else a text that says what it is."""
    if value := os.environ.get(key) or default:
        return value
    return None if key in NOT_MOCKED else f"MOCKED_{key.upper()}_VALUE"


def mocked_variable(key: str, *args: Any, **kwargs: Any) -> Any:
    """Stand in for `Variable.get`, whose default `airflow.models` calls `default_var`."""
    for name in ("default", "default_var"):
        if name in kwargs:
            return kwargs[name]
    if args:
        return args[0]
    return AnyKey() if kwargs.get("deserialize_json") else f"MOCKED_{key.upper()}_VALUE"


@contextmanager
def as_if_deployed() -> Iterator[None]:
    """Let every connection, variable and environment variable exist."""
    import airflow.models
    import airflow.sdk

    def mocked_connection(conn_id: str, *args: Any, **kwargs: Any) -> airflow.sdk.Connection:
        return airflow.sdk.Connection(conn_id=conn_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getenv", mocked_getenv)
        patch.setattr(airflow.sdk.BaseHook, "get_connection", mocked_connection)
        patch.setattr(airflow.sdk.Connection, "get", mocked_connection)
        patch.setattr(airflow.sdk.Variable, "get", mocked_variable)
        patch.setattr(airflow.models.Variable, "get", mocked_variable)
        # The image has the project on its module path; other places may not.
        patch.syspath_prepend(str(PROJECT))
        yield


@functools.cache
def parsed_files() -> dict[str, str | None]:
    """Return each DAG file, as a path from the project's folder, with its import error or None."""
    from airflow.dag_processing.dagbag import DagBag

    options = {"dag_folder": DAGS, "include_examples": False}
    accepted = inspect.signature(DagBag).parameters
    logging.getLogger("airflow").setLevel(logging.CRITICAL)
    with as_if_deployed():
        bag = DagBag(**{name: value for name, value in options.items() if name in accepted})

    def from_project(path: str) -> str:
        # Absolute or relative to the DAGs folder, depending on Airflow's version.
        return Path(os.path.relpath(DAGS / path, PROJECT)).as_posix()

    files: dict[str, str | None] = {from_project(stat.file): None for stat in bag.dagbag_stats}
    return files | {from_project(path): error for path, error in bag.import_errors.items()}


def excepted_files() -> set[str]:
    """Return the files that may be broken: the lines of dag_integrity_exceptions.txt."""
    lines = EXCEPTIONS.read_text().splitlines() if EXCEPTIONS.exists() else []
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def test_there_are_dag_files() -> None:
    """A deployment without a single DAG is a mistake in the folder, not an empty project."""
    assert parsed_files(), f"no DAG file found in {DAGS}"


@pytest.mark.parametrize("file", sorted(parsed_files()))
def test_file_imports(file: str) -> None:
    """The file imports, or is listed as one that may not."""
    error = parsed_files()[file]
    if error and file not in excepted_files():
        pytest.fail(f"{file} cannot be imported:\n{error.strip()}", pytrace=False)

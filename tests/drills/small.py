"""A whole run in a second: the real tasks on a small warehouse, without Airflow's scheduler.

All tasks of the DAG are the real ones, in its order, save for dbt and the audits, for which two
tables and their check results stand in. What a task returns is kept in a file, as Airflow keeps its
XComs, so that a run whose process was killed can go on in another one.
"""

from __future__ import annotations

import inspect
import json
import multiprocessing
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from airflow.sdk.exceptions import AirflowFailException
from psycopg import sql

from include import airflow_tasks
from include.warehouse.checks import CheckResult, record_check_results
from include.warehouse.connection import CONNECTION_ID, ConnectionSettings
from include.warehouse.releases import AUDITS
from include.warehouse.schemas import AUDITOR, LAYERS, TRANSFORMER

RUN_ID = "a drill"
CONNECTION_VARIABLE = f"AIRFLOW_CONN_{CONNECTION_ID.upper()}"
CHILD_TIMEOUT = 60


@dataclass
class Ended:
    """How a run ended."""

    release_id: int | None = None
    failed_task: str | None = None
    error: str = ""
    tried_again: bool = False
    """Whether Airflow would try the failed task again."""


@dataclass
class SmallPipeline:
    """Runs of the pipeline in one warehouse."""

    connection: ConnectionSettings
    """What Airflow's connection says."""
    admin: ConnectionSettings
    xcoms: Path
    source: str = "upstream"
    force: bool = True

    def run(self, *, goes_on: bool = False) -> Ended:
        """Run the tasks one after the other.

        Args:
            goes_on: with what the last run's tasks returned before it was killed.
        """
        if not goes_on:
            self.xcoms.unlink(missing_ok=True)
        with self._airflow():
            ended = self._run_tasks()
            self._close(ended)
        return ended

    def run_in_child(self, prepare: Callable[[], Any] = lambda: None) -> int:
        """Run in a process of its own; returns its exit code, minus a signal that killed it.

        Args:
            prepare: called in that process first.
        """

        def work() -> None:
            prepare()
            ended = self.run()
            print(ended)
            sys.exit(1 if ended.failed_task else 0)

        child = self.start_child(work)
        child.join(CHILD_TIMEOUT)
        assert child.exitcode is not None, "the run hangs"
        return child.exitcode

    def start_child(self, work: Callable[[], None]) -> Any:
        """Start a process that inherits everything of this one."""
        child = multiprocessing.get_context("fork").Process(target=work, daemon=True)
        child.start()
        return child

    def query(self, query: str, *parameters: Any) -> list[tuple]:
        """Ask the warehouse as a superuser."""
        with self.admin.connect() as connection:
            return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]

    def execute(self, statement: str) -> None:
        """Change something as a superuser."""
        with self.admin.connect(autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def releases(self) -> list[tuple[int, str, str | None]]:
        """Return number, state and failure of all releases, newest first."""
        return self.query(
            "select release_id, state, failure from ops.releases order by release_id desc"
        )

    def leftovers(self) -> list[str]:
        """Return what no ended run may leave: open releases, and tables that nothing remembers."""
        return [
            *(f"release {release} is {state}" for release, state in self.query(
                "select release_id, state from ops.releases where state in ('building', 'audited')"
            )),
            *(f"schema {schema}" for (schema,) in self.query(
                r"""
                select nspname from pg_namespace
                where nspname ~ '_r\d+$' and substring(nspname from '\d+$')::int not in (
                    select release_id from ops.releases where pruned_at is null
                )
                """
            )),
        ]  # fmt: skip

    def _run_tasks(self) -> Ended:
        tasks: dict[str, Callable[[], Any]] = {
            "detect_changes": lambda: self._call(airflow_tasks.detect_changes),
            "open_release": lambda: self._call(
                airflow_tasks.open_release, source=returned["detect_changes"]
            ),
            "load_bronze": lambda: self._call(
                airflow_tasks.load_bronze,
                source=returned["detect_changes"],
                release_id=returned["open_release"],
            ),
            "dbt_build": lambda: _stand_in_for_dbt_and_audits(returned["open_release"]),
            "publish_release": lambda: (
                list(self._call(airflow_tasks.publish_release, release_id=returned["open_release"]))
                and None
            ),
        }
        returned: dict[str, Any] = {}
        with suppress(FileNotFoundError):
            returned = json.loads(self.xcoms.read_text())
        for name, task in tasks.items():
            if name in returned:
                continue
            try:
                returned[name] = task()
            except Exception as error:  # noqa: BLE001  as Airflow does
                return self._failed(name, error, returned.get("open_release"))
            self.xcoms.write_text(json.dumps(returned))
        return Ended(returned["open_release"])

    def _call(self, task: Any, **returned: Any) -> Any:
        """Call a task's function with what Airflow would hand over."""
        context = {
            "params": {
                "source": self.source, "ref": None, "source_dir": None, "target_layer": "gold",
                "force": self.force, "accept_falls": [], "publish": True,
            },
            "run_id": RUN_ID,
            "ti": SimpleNamespace(xcom_push=lambda **_: None),
            "dag_run": SimpleNamespace(
                run_id=RUN_ID, run_type="manual", triggering_user_name="drill"
            ),
            **returned,
        }  # fmt: skip
        names = inspect.signature(task.function).parameters
        return task.function(**{name: context[name] for name in names})

    def _failed(self, task: str, error: Exception, release_id: int | None) -> Ended:
        context: Any = {
            "ti": SimpleNamespace(
                task_id=task,
                xcom_pull=lambda task_ids: release_id,
                xcom_push=lambda key, value: None,
            ),
            "exception": error,
        }
        # As in Airflow, which logs that a callback failed.
        with suppress(Exception):
            airflow_tasks.note_failure(context)
        return Ended(release_id, task, str(error), not isinstance(error, AirflowFailException))

    def _close(self, ended: Ended) -> None:
        # Airflow's states of the two tasks that this one looks at.
        states = {"publish_release": "failed" if ended.failed_task else "success"}
        if ended.failed_task:
            states[ended.failed_task] = "failed"
        ti = SimpleNamespace(
            dag_id="survivor_medallion_pipeline",
            run_id=RUN_ID,
            get_task_states=lambda **_: {RUN_ID: states},
            xcom_push=lambda **_: None,
        )
        try:
            self._call(airflow_tasks.close_release, release_id=ended.release_id, ti=ti)
        except Exception as error:  # noqa: BLE001  as Airflow does
            # The first red task is the cause.
            ended.failed_task = ended.failed_task or "close_release"
            ended.error = ended.error or str(error)
        else:
            assert not ended.failed_task, "the run is green although a task failed"

    @contextmanager
    def _airflow(self) -> Iterator[None]:
        # A drill may have left the connection out, or spoilt it.
        if CONNECTION_VARIABLE in os.environ:
            yield
        else:
            variables = {CONNECTION_VARIABLE: self.connection.as_airflow_connection()}
            with mock.patch.dict(os.environ, variables):
                yield


def _stand_in_for_dbt_and_audits(release_id: int) -> None:
    settings = ConnectionSettings.from_airflow()
    with settings.connect(role=TRANSFORMER) as connection:
        for table, source in (
            (("silver", "castaway_profile"), ("bronze", "castaways")),
            (("gold", "ml_features_non_edit"), ("silver", "castaway_profile")),
        ):
            names = [
                sql.Identifier(f"{layer}_r{release_id}", name) for layer, name in (table, source)
            ]
            connection.execute(sql.SQL("drop table if exists {} cascade").format(names[0]))
            connection.execute(
                sql.SQL("create table {} as select castaway_id, castaway from {}").format(*names)
            )
    with settings.connect(role=AUDITOR) as connection:
        for tool in ("soda", "dbt", "great_expectations"):
            results = [
                CheckResult(
                    tool=tool, check_id=f"{layer}.stands_in", layer=layer, table_name="all",
                    description="stands in for the audits", severity="blocking", outcome="passed",
                )
                for layer in LAYERS
                if tool in AUDITS[layer]
            ]  # fmt: skip
            record_check_results(connection, release_id, tool, results)


def kill_when(target: str, calls: int, *, before: bool = False) -> None:
    """Let this process be killed with signal 9 at the call with this number of a function.

    Args:
        target: the function, as its caller names it.
        calls: which call it is.
        before: at its beginning, not at its end.
    """
    kill = at_call(target, calls, lambda: os.kill(os.getpid(), signal.SIGKILL), before=before)
    mock.patch(target, kill).start()


def at_call(
    target: str, calls: int, what: Callable[[], Any], *, before: bool = False
) -> Callable[..., Any]:
    """Return the function that `target` names, which at the call with this number does `what`."""
    original = pkgutil.resolve_name(target)
    left = [calls]

    def wrapper(*arguments: Any, **options: Any) -> Any:
        if before:
            left[0] -= 1
            if not left[0]:
                what()
        result = original(*arguments, **options)
        # Only now: a publication that a reader is in the way of is tried again.
        if not before:
            left[0] -= 1
            if not left[0]:
                what()
        return result

    return wrapper


if __name__ == "__main__":
    # One run with the warehouse of `DB_*`, for drills that need a process from its very beginning.
    login = ConnectionSettings.from_environment()
    outcome = SmallPipeline(login, login, Path(sys.argv[1])).run()
    print(outcome)
    sys.exit(1 if outcome.failed_task else 0)

"""One run of the pipeline on the made-up show, with all that it costs counted, stage by stage.

    python -m tests.costs.running FOLDER    # with DB_* of a superuser, in an Airflow home

The tasks of the DAG, in its order and in this process, as Airflow calls them but without its
scheduler, database and queue. It is a process of its own because nothing can take an audit hook
away again. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any, LiteralString

from airflow.sdk.exceptions import DownstreamTasksSkipped
from airflow.sdk.execution_time.context import OutletEventAccessors

from include.environments import PROJECT_DIR, on_a_leash
from include.transformation.manifest import manifest_path
from include.warehouse.connection import CONNECTION_VARIABLE, ConnectionSettings
from tests.conftest import as_pipeline

DAG_ID = "survivor_medallion_pipeline"
RUN_ID = "costs"
WAIT_SECONDS = 30

# These tests know the real show, or expect a show that does not go by the book.
LEFT_OUT = "bronze_has_nearly_all_rows_of_the_ledger test_name:no_constant_column"

# What a statement is called that begins with these words.
KINDS = {
    "select": r"select|with|values|table|show|explain",
    "insert": r"insert",
    "update": r"update",
    "delete": r"delete|truncate",
    "copy": r"copy",
    "analyze": r"analyze|vacuum",
    "ddl": r"create|alter|drop|grant|revoke|comment|refresh|reindex",
    "transaction": r"begin|start|commit|end|rollback|abort|savepoint|release|lock",
    "session": r"set|reset|discard|deallocate|prepare|declare|fetch|close|do",
}

# Those whose rows go over the wire.
TRANSFERS = ("copy", "select")

OF_TABLES = """
select
    sum(seq_tup_read), sum(coalesce(idx_tup_fetch, 0)),
    sum(seq_scan), sum(coalesce(idx_scan, 0)),
    sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del)
from pg_stat_user_tables
"""
TABLE_FIGURES = (
    "rows read by sequential scans", "rows read through indexes",
    "sequential scans", "index scans",
    "rows inserted", "rows updated", "rows deleted",
)  # fmt: skip
OF_DATABASE = """
select sessions, temp_bytes from pg_stat_database where datname = current_database()
"""
OF_LAYERS = r"""
select substring(nspname from '(.*)_r\d+$'), sum(pg_relation_size(pg_class.oid))
from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where nspname ~ '_r\d+$' and relkind in ('r', 'i')
group by 1
"""
OF_CHECKS = "select tool, count(*) from ops.check_results group by tool"
OTHERS = """
select count(*) from pg_stat_activity
where datname = current_database()
    and backend_type = 'client backend'
    and pid <> pg_backend_pid()
"""
OF_STATEMENTS = """
select query, calls, rows from pg_stat_statements
where dbid = (select oid from pg_database where datname = current_database())
    and userid <> current_user::regrole
"""


class Meter:
    """Counts what this process does and what the server does for it and its programs."""

    def __init__(self, superuser: ConnectionSettings) -> None:
        self.figures: dict[str, int] = {}
        self._server = superuser.connect(autocommit=True)
        self._opened: Counter[str] = Counter()
        self._programs: Counter[str] = Counter()
        sys.addaudithook(self._hear)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count under this name what is done inside."""
        self._opened.clear()
        self._programs.clear()
        self._server.execute("select pg_stat_statements_reset()")
        before = self._counters()
        yield
        self._wait_for_sessions()
        for figure, count in (self._counters() - before).items():
            self.figures[f"{name}: {figure}"] = count
        self._count_statements(name)
        for program, times in self._programs.items():
            self.figures[f"{name}: programs: {program}"] = times
        if self._opened:
            self.figures[f"{name}: .rda files opened"] = len(self._opened)
            self.figures[f"{name}: openings of all of them"] = self._opened.total()

    def of_the_release(self) -> dict[str, int]:
        """Return what the release takes of the disk, and how much it was checked."""
        size = {f"release: bytes of {layer}": int(size) for layer, size in self._ask(OF_LAYERS)}
        checks = {f"release: checks of {tool}": count for tool, count in self._ask(OF_CHECKS)}
        return size | checks

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        # Whichever copy of it: a source may fetch a file first.
        if (
            event == "open"
            and str(arguments[0]).endswith(".rda")
            and "w" not in (arguments[1] or "")
        ):
            self._opened[Path(arguments[0]).name] += 1
        elif event == "subprocess.Popen":
            self._programs[program_name([str(each) for each in arguments[1]])] += 1
        elif event in ("os.posix_spawn", "os.system", "os.fork", "os.exec"):
            self._programs[event] += 1

    def _counters(self) -> Counter[str]:
        (of_tables,), (of_database,) = self._ask(OF_TABLES), self._ask(OF_DATABASE)
        figures = (*TABLE_FIGURES, "connections", "bytes spilled to disk")
        return Counter(dict(zip(figures, map(int, of_tables + of_database), strict=True)))

    def _count_statements(self, stage: str) -> None:
        statements, rows = Counter[str](), Counter[str]()
        lines = []
        for query, calls, handled in self._ask(OF_STATEMENTS):
            kind = kind_of(query)
            statements[kind] += calls
            rows[kind] += handled
            lines.append(f"{stage}\t{calls}\t{handled}\t{' '.join(query.split())}\n")
        self.figures |= {f"{stage}: statements: {kind}": n for kind, n in statements.items()}
        # The others' are the tables' rows inserted, updated and deleted.
        self.figures |= {f"{stage}: rows of {kind}": rows[kind] for kind in TRANSFERS if rows[kind]}
        if path := os.environ.get("COSTS_STATEMENTS"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.writelines(sorted(lines))

    def _ask(self, query: LiteralString) -> list[tuple[Any, ...]]:
        return self._server.execute(query).fetchall()

    def _wait_for_sessions(self) -> None:
        """Wait until the server's processes are gone: they tell what they did as they end."""
        for _ in range(WAIT_SECONDS * 20):
            if self._ask(OTHERS) == [(0,)]:
                return
            time.sleep(0.05)
        raise TimeoutError("a session of the stage is still open")


def kind_of(query: str) -> str:
    """Return which kind of statement this is."""
    bare = re.sub(r"/\*.*?\*/|--[^\n]*", " ", query, flags=re.DOTALL).strip(" \n\t\r(").lower()
    for kind, words in KINDS.items():
        if re.match(rf"(?:{words})\b", bare):
            return kind
    return "other"


def program_name(command: list[str]) -> str:
    """Return what a command is in few words, the same on every machine."""
    leash = on_a_leash()
    if leash and Path(command[0]).name == Path(leash[0]).name:
        command = command[len(leash) :]
    name = Path(command[0]).name
    words = [word for word in command[1:] if re.fullmatch(r"[a-z_]+(\.[a-z_]+)*", word)]
    return " ".join([name, *words[:1]])


class TaskInstance:
    """What the tasks and Cosmos ask of Airflow's."""

    dag_id = DAG_ID
    run_id = RUN_ID
    map_index = -1
    try_number = 1

    def __init__(
        self, task: Any, xcoms: dict[tuple[str, str], Any], states: dict[str, str]
    ) -> None:
        self.task = task
        self.task_id = task.task_id
        self._xcoms = xcoms
        self._states = states

    def xcom_push(self, key: str, value: Any) -> None:
        self._xcoms[self.task_id, key] = value

    def xcom_pull(self, task_ids: Any = None, key: str = "return_value", **_: Any) -> Any:
        return self._xcoms.get((task_ids or self.task_id, key))

    def get_task_states(self, **_: Any) -> dict[str, dict[str, str]]:
        return {RUN_ID: self._states}


class Run:
    """The DAG's tasks, one after the other."""

    def __init__(self, source: Path) -> None:
        from airflow.dag_processing.dagbag import BundleDagBag

        bag = BundleDagBag(PROJECT_DIR / "dags", bundle_path=PROJECT_DIR, bundle_name="costs")
        assert not bag.import_errors, bag.import_errors
        self.dag = bag.dags[DAG_ID]
        build = self.dag.get_task("dbt_build")
        build.exclude = LEFT_OUT
        # Two threads may look the same schema up at once, and count it twice.
        build.dbt_cmd_flags = [*build.dbt_cmd_flags, "--threads", "1"]
        self.params = self.dag.params.dump() | {"source": "directory", "source_dir": str(source)}
        self.xcoms: dict[tuple[str, str], Any] = {}
        self.states: dict[str, str] = {}

    def execute(self, task: Any) -> Any:
        """Do what Airflow does with a task."""
        ti = TaskInstance(task, self.xcoms, self.states)
        context: Any = {
            "dag": self.dag,
            "dag_run": SimpleNamespace(
                run_id=RUN_ID, run_type="manual", triggering_user_name="the costs"
            ),
            "outlet_events": OutletEventAccessors(),
            "params": self.params,
            "run_id": RUN_ID,
            "task": task,
            "task_instance": ti,
            "ti": ti,
        }
        task.render_template_fields(context)
        self.xcoms[task.task_id, "return_value"] = task.execute(context)
        self.states[task.task_id] = "success"


def nodes_of_dbt() -> dict[str, int]:
    """Return how many nodes of each kind dbt knows."""
    nodes = json.loads(manifest_path().read_text(encoding="utf-8"))
    kinds = Counter(
        f"{node['config']['materialized']} models"
        if node["resource_type"] == "model"
        else f"{node['resource_type'].replace('_', ' ')}s"
        for node in (nodes["nodes"] | nodes["sources"] | nodes["unit_tests"]).values()
    )
    return {f"dbt: {kind}": count for kind, count in kinds.items()}


def main(source: Path) -> None:
    """Run, count and print."""
    superuser = ConnectionSettings.from_environment()
    for variable in [name for name in os.environ if name.startswith("DB_")]:
        del os.environ[variable]
    os.environ[CONNECTION_VARIABLE] = as_pipeline(superuser).as_airflow_connection()
    run = Run(source)
    meter = Meter(superuser)
    for stage, tasks in groupby(run.dag.topological_sort(), lambda t: t.task_id.split(".")[0]):
        with meter.stage(stage):
            for task in tasks:
                run.execute(task)
    with meter.stage("detect_changes, nothing new"), suppress(DownstreamTasksSkipped):
        run.execute(run.dag.get_task("detect_changes"))
    print(json.dumps(meter.figures | meter.of_the_release() | nodes_of_dbt()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

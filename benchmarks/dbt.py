"""What dbt takes: bare, the SQL alone, and with a task per model under Airflow's real scheduler.

All work on one release whose bronze is loaded. Before each, what an earlier one built is dropped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from benchmarks.airflow import BenchmarkAirflow, airflow_of, load_release
from benchmarks.compiled_sql import sql_of_relations, sql_of_tests
from benchmarks.measure import PROJECT, Case, Sample, measured_child, measured_command
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import TRANSFORMER, release_schema

if TYPE_CHECKING:
    from benchmarks.workspace import Workspace

DAGS = PROJECT / "benchmarks" / "dags"
BUILT_BY_DBT = ("reference", "silver", "gold")

# The pipeline's suite has the build and our stage.
NOT_QUICK = True

OURS = "our_stage"
# Not in-process, for which dbt would have to be in Airflow's environment.
COSMOS = {
    "cosmos_watcher": "Cosmos WATCHER: one build, sensors that wait for their models",
    "cosmos_local": "Cosmos LOCAL: a build per model",
}


def suite(workspace: Workspace, quick: bool) -> list[Case]:
    """Return the cases; quick mode starts no Airflow."""
    stage = Stage.prepared(workspace, [] if quick else [OURS, *COSMOS])
    bare = Case(
        "dbt", "bare", "one bare `dbt build`", stage.build_bare, repetitions=3
    )  # fmt: skip
    return [
        bare,
        Case(
            "dbt", "psql_models", "the SQL of its seeds and models through psql",
            stage.run_models, repetitions=3, baseline=bare.name,
        ),
        Case(
            "dbt", "psql_tests", "the SQL of its tests through psql",
            stage.run_tests, repetitions=3, baseline=bare.name,
        ),
        Case(
            "dbt", OURS, "our stage on the scheduler: one build, a task per model that reports it",
            partial(stage.run_dag, OURS, ("dbt_build", "models")),
            repetitions=3, quick_repetitions=0, baseline=bare.name, target=2,
        ),
        *(
            Case(
                "dbt", name, title, partial(stage.run_dag, name, ("models",)),
                repetitions=1, quick_repetitions=0, baseline=bare.name,
            )
            for name, title in COSMOS.items()
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class DbtCommand:
    """The `dbt build` of a release, as the pipeline's task would start it."""

    command: list[str]
    env: dict[str, str]
    cwd: str

    def environment(self, release_id: int) -> dict[str, str]:
        """Return the variables with which it builds this release."""
        return self.env | {"GAMEBOT_RELEASE_ID": str(release_id)}

    def forget(self) -> None:
        """Delete what an earlier build left, as each task begins with a folder of its own."""
        for name in ("target", "logs"):
            shutil.rmtree(Path(self.cwd, name), ignore_errors=True)


@cache
def dbt_command(airflow: BenchmarkAirflow) -> DbtCommand:
    """Return it, with a folder for it that stays."""
    folder = airflow.state.folder / "bare_dbt"
    folder.mkdir(mode=0o700)
    measured_child(
        "benchmarks.dbt:write_command", environment=airflow.environment(), folder=str(folder)
    )
    return DbtCommand(**json.loads((folder / "command.json").read_text()))


def write_command(folder: str) -> None:
    """Write down what the operator would run. Needs Airflow's environment."""
    from jinja2 import Template

    from include.transformation.rendering import dbt_build

    class _Written(Exception):
        """Nothing else is wanted of the operator."""

    def write(command: list[str], env: Mapping[str, str], cwd: str, **_: Any) -> None:
        project, profiles = Path(folder, "project"), Path(folder, "profiles")
        at = command.index("--profiles-dir") + 1
        shutil.copytree(cwd, project, symlinks=True)
        shutil.copytree(command[at], profiles)
        moved = {cwd: str(project), command[at]: str(profiles)}
        known = DbtCommand([moved.get(part, part) for part in command], dict(env), str(project))
        Path(folder, "command.json").write_text(json.dumps(asdict(known)))
        raise _Written

    operator = dbt_build()
    operator.select = Template(operator.select).render(params={"target_layer": "gold"})
    operator.run_subprocess = write
    try:
        operator.build_and_run_cmd({"run_id": "benchmark"}, operator.add_cmd_flags())
    except _Written:
        return
    raise RuntimeError("dbt_build() ran no command: benchmarks/dbt.py does not know how it works.")


@dataclass(frozen=True)
class Stage:
    """A release whose models are built again and again."""

    airflow: BenchmarkAirflow
    release_id: int

    @classmethod
    def prepared(cls, workspace: Workspace, dags: list[str]) -> Stage:
        """Load a release, and start Airflow with the DAGs of the benchmark where some are named."""
        airflow = airflow_of(workspace, DAGS)
        airflow.start_databases()
        release_id = load_release(airflow.databases.pipeline, workspace.source_folder)
        if dags:
            airflow.start(dags)
        return cls(airflow, release_id)

    @property
    def warehouse(self) -> ConnectionSettings:
        """The pipeline's way into it."""
        return self.airflow.databases.pipeline

    def build_bare(self) -> Sample:
        """Run dbt as its task does, without Airflow."""
        build = dbt_command(self.airflow)
        self._empty()
        build.forget()
        return measured_command(build.command, build.environment(self.release_id), Path(build.cwd))

    def run_dag(self, dag_id: str, stages: tuple[str, ...]) -> Sample:
        """Let the scheduler do it; what counts is the time from dbt's start to the last model's."""
        self._empty()
        run = self.airflow.run(dag_id, {"release_id": self.release_id})
        parts = {name: run.span(name) for name in stages} if len(stages) > 1 else {}
        return run.sample(run.span(*stages), **parts)

    def run_models(self) -> Sample:
        """Create and fill each table with the statements that dbt made for it."""
        script = sql_of_relations(Path(dbt_command(self.airflow).cwd))
        self._empty()
        return self._psql(script)

    def run_tests(self) -> Sample:
        """Ask what dbt asked for each test."""
        return self._psql(sql_of_tests(Path(dbt_command(self.airflow).cwd)))

    def _psql(self, statements: Sequence[str]) -> Sample:
        script = self.airflow.state.folder / "script.sql"
        script.write_text(";\n".join([f"set role {TRANSFORMER}", *statements, ""]))
        psql = self.airflow.databases.server.program("psql")
        options = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
        return measured_command([psql, *options, f"--file={script}"], _libpq(self.warehouse))

    def _empty(self) -> None:
        with self.warehouse.connect(role=TRANSFORMER) as connection:
            for layer in BUILT_BY_DBT:
                schema = release_schema(layer, self.release_id)
                relations = connection.execute(
                    "select relname, relkind from pg_class "
                    "where relnamespace = %s::regnamespace and relkind in ('r', 'v')",
                    (schema,),
                ).fetchall()
                for name, kind in relations:
                    connection.execute(
                        sql.SQL("drop {} if exists {} cascade").format(
                            sql.SQL("view" if kind == "v" else "table"),
                            sql.Identifier(schema, name),
                        )
                    )


def _libpq(warehouse: ConnectionSettings) -> dict[str, str]:
    return {
        "PGHOST": warehouse.host,
        "PGPORT": str(warehouse.port),
        "PGDATABASE": warehouse.dbname,
        "PGUSER": warehouse.user,
        "PGPASSWORD": warehouse.password.get_secret_value(),
    }

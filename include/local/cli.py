"""The command line of the local stack: what `make` calls."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn, TypeVar, cast

import psycopg
import typer
from rich.console import Console

from include.environments import NO_TELEMETRY, CommandFailed, MissingEnvironment, executable
from include.local.airflow_home import (
    AirflowError,
    own_environment,
    passwords,
    passwords_file,
    prepare_manifest,
)
from include.local.api import ApiError
from include.local.databases import LocalDatabases, development_schema
from include.local.postgres import PortTaken, PostgresError
from include.local.stack import AirflowStack
from include.local.state import State, StateError
from include.warehouse.bootstrap import NotBootstrapped
from include.warehouse.connection import MissingSetting
from include.warehouse.history import list_events
from include.warehouse.publication import PublicationBlocked
from include.warehouse.releases import (
    ReleaseError,
    list_releases,
    publish_replay,
    published_release,
    roll_back,
)
from include.warehouse.schemas import OWNER, TRANSFORMER

app = typer.Typer(
    help="The Survivor warehouse on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
# A log has no width of its own, and eighty columns would break every other line.
LOG_WIDTH = None if sys.stdout.isatty() else 160
console = Console(highlight=False, width=LOG_WIDTH)
errors = Console(stderr=True, highlight=False)

# What goes wrong for reasons that a person can do something about; everything else is a bug and
# deserves its stack trace.
EXPECTED_ERRORS = (
    StateError,
    PostgresError,
    AirflowError,
    ApiError,
    CommandFailed,
    MissingEnvironment,
    MissingSetting,
    NotBootstrapped,
    PublicationBlocked,
    ReleaseError,
    psycopg.OperationalError,
)

# As in docker-compose.override.yml: this machine's tools find either warehouse in one place.
WAREHOUSE_PORT = 5433

Command = TypeVar("Command", bound=Callable[..., Any])


def explained(command: Command) -> Command:
    """Turn the errors of a command into a message and an exit code."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            return command(*args, **options)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except _expected_errors() as error:
            errors.print("[bold red]error:[/]", end=" ")
            errors.print(str(error), markup=False, soft_wrap=True)
            raise typer.Exit(1) from None

    return cast("Command", run)


SourceDir = Annotated[Path | None, typer.Option(envvar="GAMEBOT_SOURCE_DIR")]
Ref = Annotated[str | None, typer.Option(envvar="GAMEBOT_REF")]
WarehousePort = Annotated[int, typer.Option(envvar="WAREHOUSE_HOST_PORT", min=1, max=65535)]
TargetLayer = Annotated[str, typer.Option(envvar="GAMEBOT_TARGET_LAYER")]


@app.command("run")
@explained
def run_pipeline(
    source: Annotated[str, typer.Option(envvar="GAMEBOT_SOURCE")] = "auto",
    source_dir: SourceDir = None,
    ref: Ref = None,
    accept_falls: Annotated[str, typer.Option(envvar="GAMEBOT_ACCEPT_FALLS")] = "",
    target_layer: TargetLayer = "gold",
    force: Annotated[bool, typer.Option(envvar="GAMEBOT_FORCE")] = False,
) -> None:
    """Set up what is missing, run the pipeline to its end and show what came of it."""
    _run(
        source=source,
        source_dir=source_dir,
        ref=ref,
        accept_falls=accept_falls.replace(",", " ").split(),
        target_layer=target_layer,
        force=force,
    )


@app.command()
@explained
def replay(
    source_dir: SourceDir = None, ref: Ref = None, target_layer: TargetLayer = "gold"
) -> None:
    """Build and audit an earlier state of survivoR without showing it to readers."""
    if not source_dir and not ref:
        raise StateError("Name what to replay: make replay REF=<commit> or SOURCE_DIR=<folder>.")
    _run(
        source="directory" if source_dir else "upstream",
        source_dir=source_dir,
        ref=ref,
        target_layer=target_layer,
        publish=False,
    )


def _run(source_dir: Path | None, **options: Any) -> NoReturn:
    from pydantic import ValidationError

    from include.local.run import LocalRun, RunOptions

    try:
        chosen = RunOptions(
            source_dir=source_dir.expanduser().absolute() if source_dir else None, **options
        )
        chosen.request()
    except ValidationError as error:
        problems = "; ".join(_told(problem) for problem in error.errors())
        raise StateError(f"These options do not fit together: {problems}") from None
    raise typer.Exit(LocalRun(State.open(), console).execute(chosen))


@app.command()
@explained
def up() -> None:
    """Start Airflow with its UI, and the warehouse."""
    from include.local.run import start_airflow, start_postgres, step

    state = State.open()
    databases = LocalDatabases.of(state)
    start_postgres(databases, console)
    with step("Prepare the dbt manifest", console):
        prepare_manifest(state)
    stack = AirflowStack(state, databases)
    start_airflow(stack, "up", console)
    console.print(f"Airflow: [link={stack.url}]{stack.url}[/link]")
    # A log that others may read is no place for a password.
    if console.is_terminal:
        for user, password in passwords(state).items():
            console.print(f"Sign in: {user} / {password}")
    else:
        users = ", ".join(passwords(state))
        console.print(f"Sign in: {users}, password in {passwords_file(state)}", soft_wrap=True)
    console.print("make down stops it.")


@app.command()
@explained
def warehouse(port: WarehousePort = WAREHOUSE_PORT) -> None:
    """Start the warehouse alone, on a port that stays, for an Airflow that others started."""
    from include.local.run import step

    state = State.open()
    databases = LocalDatabases.of(state)
    stack = AirflowStack(state, databases)
    # Its processes hold the port that they were started with.
    if databases.server.is_running() and databases.server.port != port and stack.running():
        raise StateError(
            f"Airflow of make up or make run works with the warehouse on port "
            f"{databases.server.port}: make down, then make warehouse moves it to {port}."
        )
    try:
        with step("Start Postgres and prepare the warehouse", console):
            databases.start(port)
    except PortTaken as error:
        raise PostgresError(
            f"The warehouse cannot be opened: {error}. If that is the Docker dev stack, `astro dev "
            "stop` frees it. Or choose another: WAREHOUSE_HOST_PORT=… for make warehouse and make "
            "env."
        ) from None
    console.print(f"Warehouse: 127.0.0.1:{port}. make env tells Airflow of it, make down stops it.")


@app.command()
@explained
def env(port: WarehousePort = WAREHOUSE_PORT) -> None:
    """Prepare .env, which `astro dev` reads: what its modes need, the warehouse included."""
    from include.local.env_file import prepare_env_file

    state = State.open()
    # Where make warehouse opens it, wherever it listens now.
    connection = LocalDatabases.of(state).pipeline.model_copy(update={"port": port})
    for line in prepare_env_file(state.checkout, connection):
        console.print(line, markup=False, soft_wrap=True)


@app.command()
@explained
def down() -> None:
    """Stop Airflow and the warehouse; nothing is lost."""
    state = State.open()
    databases = LocalDatabases.of(state)
    stopped = AirflowStack(state, databases).stop()
    if databases.server.stop():
        stopped.append("postgres")
    console.print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


@app.command()
@explained
def dsn() -> None:
    """Print the URI with which a reader connects to the warehouse."""
    print(_running_databases().reader.uri())


@app.command()
@explained
def psql(
    as_pipeline: Annotated[bool, typer.Option(help="As the pipeline's login.")] = False,
) -> None:
    """Open psql on the warehouse."""
    databases = _running_databases()
    login = databases.pipeline if as_pipeline else databases.reader
    # The machine's own edits lines and completes names, the embedded one does not.
    program = shutil.which("psql") or str(databases.server.program("psql"))
    _replace_process(
        [program],
        {
            "PGHOST": login.host,
            "PGPORT": str(login.port),
            "PGDATABASE": login.dbname,
            "PGUSER": login.user,
            "PGPASSWORD": login.password.get_secret_value(),
        },
    )


@app.command()
@explained
def dbt(
    arguments: Annotated[
        str, typer.Argument(envvar="GAMEBOT_DBT_ARGS", help="What dbt is to do, as one string.")
    ] = "build",
) -> None:
    """Run dbt on the published bronze, into a schema of your own."""
    state = State.open()
    databases = _running_databases()
    with databases.pipeline.connect(role=OWNER) as connection:
        if published_release(connection) is None:
            raise ReleaseError("There is no published bronze to build on yet: make run first.")
    databases.prepare_for_development(development_schema())
    _replace_process(
        [str(executable("dbt", "dbt")), *shlex.split(arguments)], _dbt_settings(state, databases)
    )


@app.command("with-dbt-settings", context_settings={"ignore_unknown_options": True})
@explained
def with_dbt_settings(command: Annotated[list[str], typer.Argument()]) -> None:
    """Run another program that compiles models, such as sqlfluff, as make dbt runs dbt."""
    _replace_process(command, _dbt_settings(State.open(), _running_databases()))


@app.command()
@explained
def baseline() -> None:
    """Train a simple winner model on the published gold and say whether it is too good."""
    state = State.open()
    report = state.artifacts / "baseline.md"
    _replace_process(
        [str(executable("baseline")), "-m", "include.baseline", "--report", str(report)],
        _running_databases().reader.as_environment(),
    )


@app.command()
@explained
def debug() -> None:
    """Check everything that a run needs; print no secret."""
    from include.local.doctor import examine

    raise typer.Exit(examine(State.open(), console))


@app.command()
@explained
def releases() -> None:
    """List the releases of the warehouse, and what readers saw."""
    from include.local.summary import render_history, render_releases

    with _running_databases().pipeline.connect(role=OWNER) as connection:
        found, events = list_releases(connection), list_events(connection)
    console.print(render_releases(found) if found else "There is no release yet: make run.")
    if events:
        console.print(render_history(events))


ReleaseNumber = Annotated[int | None, typer.Argument(min=1)]


@app.command()
@explained
def diff(older: ReleaseNumber = None, newer: ReleaseNumber = None) -> None:
    """Tell what differs between two releases, and whether upstream or we did it."""
    from include.comparison import choose_releases, compare_releases
    from include.comparison.__main__ import show

    with _running_databases().pipeline.connect(role=OWNER) as connection:
        chosen = choose_releases(connection, older, newer)
        with errors.status(f"Comparing release {chosen[0]} with release {chosen[1]}"):
            comparison = compare_releases(connection, *chosen)
    show(comparison, console)


@app.command()
@explained
def rollback(release: Annotated[int, typer.Argument(help="Number of the release.")]) -> None:
    """Show readers an earlier release again."""
    _show(release, roll_back)


@app.command()
@explained
def publish(release: Annotated[int, typer.Argument(help="Number of the replay.")]) -> None:
    """Show readers a replay."""
    _show(release, publish_replay)


def _show(release: int, show: Callable[..., tuple[str, ...]]) -> None:
    with _running_databases().pipeline.connect(role=OWNER) as connection:
        started = time.perf_counter()
        layers = show(connection, release, done_by=getpass.getuser())
        seconds = time.perf_counter() - started
    console.print(f"Readers see release {release} in {', '.join(layers)}: it took {seconds:.2f} s.")


@app.command()
@explained
def export(
    to: Annotated[Path | None, typer.Option(envvar="GAMEBOT_EXPORT_TO")] = None,
    release: Annotated[int | None, typer.Option(envvar="GAMEBOT_EXPORT_RELEASE")] = None,
) -> None:
    """Write the published release as files: Parquet, DuckDB and SQLite."""
    from include.local.export import export_release

    state = State.open()
    with state.locked("export", wait=False):
        export_release(state, _running_databases().pipeline, to, release, console)


@app.command()
@explained
def ledger() -> None:
    """Write down how many rows each season has in the published release."""
    from include.local.ledger import LEDGER, count_rows, read_ledger, write_ledger

    databases = _running_databases()
    with databases.pipeline.connect(role=OWNER) as connection:
        release = published_release(connection)
    if release is None:
        raise ReleaseError("There is no published release to count yet: make run first.")
    with databases.reader.connect() as connection:
        counts = count_rows(connection)
    changed = len(set(counts) ^ set(read_ledger()))
    write_ledger(counts)
    commit = f", commit {release.source_commit[:12]}" if release.source_commit else ""
    console.print(
        f"Counted release {release.release_id} ({release.source_kind}{commit}): {len(counts):,} "
        f"lines in {LEDGER.name}, {changed:,} of them new or gone. Review: git diff"
    )


@app.command()
@explained
def clean() -> None:
    """Stop everything and delete this checkout's state: warehouse, Airflow, logs, artifacts."""
    state = State.open()
    down()
    console.print(f"Removing {state.folder}", soft_wrap=True)
    shutil.rmtree(state.folder)


def _dbt_settings(state: State, databases: LocalDatabases) -> dict[str, str]:
    project = str(state.checkout / "include" / "dbt")
    return {
        **NO_TELEMETRY,
        **databases.pipeline.as_environment(),
        "DB_ROLE": TRANSFORMER,
        "DBT_SCHEMA": development_schema(),
        "DBT_PROJECT_DIR": project,
        "DBT_PROFILES_DIR": project,
        "DBT_TARGET_PATH": str(state.dbt / "target"),
        "DBT_LOG_PATH": str(state.dbt / "logs"),
        # A test that also reads what was not selected, and so not built, says nothing.
        "DBT_INDIRECT_SELECTION": "buildable",
    }


def _told(problem: Mapping[str, Any]) -> str:
    variable = "_".join(str(part).upper() for part in problem["loc"])
    return " ".join(filter(None, [variable, problem["msg"].removeprefix("Value error, ")]))


def _running_databases() -> LocalDatabases:
    databases = LocalDatabases.of(State.open())
    databases.start()
    return databases


def _expected_errors() -> tuple[type[BaseException], ...]:
    # Importing these costs a second, which only commands that use them should pay.
    named = {
        "include.ingestion.sources": "SourceError",
        "include.data_package.errors": "ExportError",
        "include.artifacts": "ArtifactsError",
    }
    modules = {module: sys.modules.get(module) for module in named}
    late = (getattr(module, named[name]) for name, module in modules.items() if module)
    return (*EXPECTED_ERRORS, *late)


def _replace_process(command: list[str], settings: Mapping[str, str]) -> NoReturn:
    os.execvpe(command[0], command, {**own_environment(), **settings})  # noqa: S606


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line, free of what other projects left in the environment."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    app()

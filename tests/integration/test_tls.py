"""Encrypted connections by setting only, and errors that name the setting when one is wrong.

Whoever sets `sslmode=verify-full` and is connected without verification has been lied to, so each
tool that reads the settings is tried with wrong ones too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from include.environments import PROJECT_DIR, Environment, MissingEnvironment, executable, run
from include.warehouse.bootstrap import bootstrap, ensure_bootstrapped
from include.warehouse.connection import ConnectionFailed, ConnectionSettings
from tests.integration.tls_server import CERTIFIED, IMPOSTOR, Authority, TlsServer, tls_server

if TYPE_CHECKING:
    from include.local.postgres import PostgresServer

# What is wrong, what libpq says of it, and the setting that our error names.
FAULTS = {
    "another authority": ("certificate verify failed", "sslrootcert (DB_SSLROOTCERT)"),
    "no authority": ("does not exist", "sslrootcert (DB_SSLROOTCERT)"),
    "another host name": ("does not match host name", "host (DB_HOST)"),
    "no encryption": ("no encryption", "sslmode (DB_SSLMODE)"),
    "no client certificate": ("valid client certificate", "sslcert and sslkey (DB_SSLCERT, DB_SSL"),
    "an expired client certificate": ("certificate expired", "sslcert (DB_SSLCERT)"),
    "a client certificate of another authority": ("unknown ca", "sslcert (DB_SSLCERT)"),
    "another login's certificate": ("certificate authentication failed", "sslcert (DB_SSLCERT)"),
    "a key that others can read": ("group or world access", "sslkey (DB_SSLKEY)"),
    "another certificate's key": ("key values mismatch", "sslkey (DB_SSLKEY)"),
    "no key": ("private key file", "sslkey (DB_SSLKEY)"),
    "a mode that does not exist": ("invalid sslmode", "sslmode (DB_SSLMODE)"),
}

# Both print a line per case: what went wrong, or nothing.
DBT = """
import contextlib, io, json, os
from dbt.cli.main import dbtRunner

for name, variables in json.loads(os.environ["CASES"]).items():
    for variable in [name for name in os.environ if name.startswith("DB_")]:
        del os.environ[variable]
    os.environ.update(variables)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        done = dbtRunner().invoke(["--no-use-colors", "debug", "--connection"])
    print("CASE", json.dumps([name, "" if done.success else output.getvalue()]))
"""
AUDITS = """
import json, os, pathlib, sys
import sqlalchemy
from include.quality.session import audit_session
from include.quality.soda_audit import _scan
from include.warehouse.connection import ConnectionSettings

checks = pathlib.Path(sys.argv[1])
for name, variables in json.loads(os.environ["CASES"]).items():
    with audit_session(ConnectionSettings.from_environment(variables), ["ops"]):
        try:
            sqlalchemy.create_engine("postgresql+psycopg2://").connect().close()
            error = ""
        except sqlalchemy.exc.OperationalError as failed:
            error = str(failed)
        print("CASE", json.dumps([name, error]))
        (result,) = _scan("bronze", [checks])
        error = "" if result.outcome == "passed" else f"{result.outcome}: {result.message}"
        print("CASE", json.dumps([name, error]))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def server(server_folder: Callable[[], Path], files: Path) -> Iterator[TlsServer]:
    """A server with TLS and a prepared warehouse, to which Alembic connected with TLS as well."""
    with tls_server(server_folder, files) as server:
        with server.admin.connect(autocommit=True) as connection:
            connection.execute(f"create role {CERTIFIED} login")  # type: ignore[arg-type]
        bootstrap(server.admin, CERTIFIED)
        yield server


@pytest.fixture(scope="module")
def faults(server: TlsServer, files: Path) -> dict[str, ConnectionSettings]:
    """For each fault settings that are right but for that."""
    other = Authority("another authority")
    foreign = other.issue(files / "foreign", CERTIFIED)
    expired = server.authority.issue(files / "expired", CERTIFIED, days=-1)
    readable = files / "readable.pem"
    readable.write_bytes(Path(str(server.certified.sslkey)).read_bytes())
    readable.chmod(0o644)
    changes: dict[str, dict[str, Any]] = {
        "another authority": {"sslrootcert": str(other.write(files / "other.pem"))},
        "no authority": {"sslrootcert": str(files / "nowhere.pem")},
        "another host name": {"host": "127.0.0.1"},
        "no encryption": {"sslmode": "disable"},
        "no client certificate": {"sslcert": None, "sslkey": None},
        "an expired client certificate": {"sslcert": str(expired[0]), "sslkey": str(expired[1])},
        "a client certificate of another authority": {
            "sslcert": str(foreign[0]),
            "sslkey": str(foreign[1]),
        },
        "another login's certificate": {"user": IMPOSTOR},
        "a key that others can read": {"sslkey": str(readable)},
        "another certificate's key": {"sslkey": str(foreign[1])},
        "no key": {"sslkey": str(files / "nowhere.pem")},
        "a mode that does not exist": {"sslmode": "full"},
    }
    return {name: server.certified.model_copy(update=change) for name, change in changes.items()}


def test_a_certificate_is_enough_to_log_in(server: TlsServer) -> None:
    ensure_bootstrapped(server.certified)
    with server.certified.connect(role="gamebot_loader") as connection:
        found = connection.execute("select session_user::text, current_user::text").fetchone()
        assert connection.pgconn.ssl_in_use
    assert found == (CERTIFIED, "gamebot_loader")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_setting_is_named(faults: dict[str, ConnectionSettings], fault: str) -> None:
    said, setting = FAULTS[fault]
    with pytest.raises(ConnectionFailed) as caught:
        faults[fault].connect()
    assert said in str(caught.value)
    assert setting in str(caught.value)


def test_a_server_without_encryption_is_not_good_enough(postgres_server: PostgresServer) -> None:
    settings = postgres_server.settings().model_copy(update={"sslmode": "require"})
    with pytest.raises(ConnectionFailed, match=r"SSL was required\nsslmode \(DB_SSLMODE\) asks"):
        settings.connect()


def test_airflow_connection_and_variables_mean_the_same(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SURVIVOR_POSTGRES", server.certified.as_airflow_connection())
    for settings in (
        ConnectionSettings.from_airflow(),
        ConnectionSettings.from_environment(server.certified.as_environment()),
    ):
        settings.connect(role="gamebot_auditor").close()


def test_cosmos_writes_a_profile_that_logs_in_with_the_certificate_alone(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from include.transformation.rendering import profile_config

    monkeypatch.setenv("AIRFLOW_CONN_SURVIVOR_POSTGRES", server.certified.as_airflow_connection())
    with profile_config().ensure_profile() as (profiles, variables):
        run(
            [program("dbt", "dbt"), "debug", "--connection", "--profiles-dir", profiles.parent,
             "--target", "release"],
            {**variables, "DBT_LOG_PATH": str(tmp_path), "GAMEBOT_RELEASE_ID": "1"},
            print,
            cwd=PROJECT_DIR / "include" / "dbt",
        )  # fmt: skip


def test_dbt_takes_the_settings_and_refuses_what_they_forbid(
    server: TlsServer, faults: dict[str, ConnectionSettings], tmp_path: Path
) -> None:
    found = tried("dbt", ["-c", DBT], server, faults, tmp_path)
    assert_as_libpq(found)


def test_soda_and_great_expectations_take_the_settings_and_refuse_what_they_forbid(
    server: TlsServer, faults: dict[str, ConnectionSettings], tmp_path: Path
) -> None:
    checks = tmp_path / "checks.yml"
    checks.write_text("checks for releases:\n  - row_count = 0:\n      name: none yet\n")
    found = tried("quality", ["-c", AUDITS, str(checks)], server, faults, tmp_path)
    assert_as_libpq(found)


def program(environment: Environment, name: str) -> Path:
    try:
        return executable(environment, name)
    except MissingEnvironment as error:
        pytest.skip(str(error))


def tried(
    environment: Environment,
    arguments: list[str],
    server: TlsServer,
    faults: dict[str, ConnectionSettings],
    folder: Path,
) -> list[tuple[str, str]]:
    """Run a tool with the right settings and with each of the wrong ones."""
    cases = {"nothing": server.certified, **faults}
    lines: list[str] = []
    run(
        [program(environment, "python"), *arguments],
        {
            "CASES": json.dumps({name: case.as_environment() for name, case in cases.items()}),
            "DBT_LOG_PATH": str(folder),
            "DBT_PROFILES_DIR": str(PROJECT_DIR / "include" / "dbt"),
            "DBT_PROJECT_DIR": str(PROJECT_DIR / "include" / "dbt"),
            "DB_HOST": "",
            "PYTHONPATH": str(PROJECT_DIR),
        },
        lines.append,
    )
    print("\n".join(lines))
    answers = [json.loads(line.removeprefix("CASE ")) for line in lines if line.startswith("CASE")]
    assert {name for name, _ in answers} == set(cases)
    return answers


def assert_as_libpq(answers: list[tuple[str, str]]) -> None:
    for name, error in answers:
        said = FAULTS[name][0] if name in FAULTS else ""
        assert said in error and bool(said) == bool(error), f"{name}: {error}"

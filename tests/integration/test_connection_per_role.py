"""A deployment may give each stage a login that can do that stage and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from include import pipeline
from include.environments import PROJECT_DIR, MissingEnvironment, executable, run
from include.ingestion.sources import SourceRequest
from include.quality.run import audit_with_great_expectations, audit_with_soda
from include.warehouse.checks import CheckResult, record_check_results
from include.warehouse.connection import ConnectionFailed, ConnectionSettings
from include.warehouse.schemas import AUDITOR, LOADER, OWNER, READER, TRANSFORMER
from tests.integration.logins import login_of
from tests.integration.survivor_world import open_world
from tests.survivor_files import write_minimal_survivor

PIPELINE_ROLES = (OWNER, LOADER, TRANSFORMER, AUDITOR)


@pytest.fixture
def connections(
    warehouse_admin: ConnectionSettings, monkeypatch: pytest.MonkeyPatch
) -> dict[str, ConnectionSettings]:
    """The setting, and the four connections in Airflow; there is no `survivor_postgres`."""
    monkeypatch.setenv("GAMEBOT_CONNECTION_PER_ROLE", "true")
    logins = {role: login_of(warehouse_admin, role) for role in PIPELINE_ROLES}
    for role, login in logins.items():
        monkeypatch.setenv(variable(role), login.as_airflow_connection())
    return logins


def variable(role: str) -> str:
    return f"AIRFLOW_CONN_SURVIVOR_POSTGRES_{role.removeprefix('gamebot_').upper()}"


def ignore(line: str) -> None:
    """Take a line of a report that the test does not read."""


@contextmanager
def locked_out(admin: ConnectionSettings, login: str) -> Iterator[None]:
    """Keep a login out for a while: the owner, which may do everything, would hide a mistake."""
    with admin.connect(autocommit=True) as connection:
        connection.execute(f"alter role {login} nologin")  # type: ignore[arg-type]
        try:
            yield
        finally:
            connection.execute(f"alter role {login} login")  # type: ignore[arg-type]


def build_with_cosmos_profile(release_id: int, folder: Path) -> None:
    """Run dbt with the profile that Cosmos makes of the transformer's connection."""
    from include.transformation.rendering import profile_config

    try:
        dbt = executable("dbt", "dbt")
    except MissingEnvironment as error:
        pytest.skip(str(error))
    with profile_config().ensure_profile() as (profiles, variables):
        run(
            [dbt, "--quiet", "build", "--profiles-dir", profiles.parent, "--target", "release",
             "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"],
            {
                **variables,
                "GAMEBOT_RELEASE_ID": str(release_id),
                "DBT_TARGET_PATH": str(folder / "target"),
                "DBT_LOG_PATH": str(folder / "logs"),
            },
            print,
            cwd=PROJECT_DIR / "include" / "dbt",
        )  # fmt: skip


def dbt_passed(layer: str) -> CheckResult:
    return CheckResult(
        tool="dbt",
        check_id=f"{layer}.built",
        layer=layer,  # type: ignore[arg-type]
        table_name="castaways",
        description="dbt built it",
        severity="blocking",
        outcome="passed",
    )


@pytest.mark.usefixtures("connections")
def test_every_stage_does_its_work_with_a_login_that_can_do_no_other(
    warehouse_admin: ConnectionSettings, tmp_path: Path
) -> None:
    settings = ConnectionSettings.from_airflow()
    request = SourceRequest(
        source="directory", directory=str(write_minimal_survivor(tmp_path / "survivor"))
    )
    source = pipeline.detect_changes(settings, request, "gold").source
    loaded = pipeline.open_release(settings, source, "gold", "a test")
    pipeline.load_bronze(settings, loaded, source, on_progress=ignore)
    pipeline.record_failure(settings, loaded, "its data is made up")
    assert pipeline.close_release(settings, loaded) == "its data is made up"

    release_id = open_world(settings)
    with locked_out(warehouse_admin, "only_owner"):
        build_with_cosmos_profile(release_id, tmp_path)
        passed = [dbt_passed("silver"), dbt_passed("gold")]
        with settings.connect(role=AUDITOR) as auditor:
            record_check_results(auditor, release_id, "dbt", passed)
        audit_with_soda(release_id, settings, ["bronze", "silver"], on_line=ignore)
        audit_with_great_expectations(release_id, settings, tmp_path / "docs", on_line=ignore)
    assert pipeline.publish(settings, release_id)["layers"] == ["bronze", "silver", "gold"]
    assert pipeline.close_release(settings, release_id) is None

    with login_of(warehouse_admin, READER).connect() as reader:
        found = reader.execute("select count(*) from gold.ml_features_as_of").fetchone()
    assert found is not None and found[0] > 0


def test_a_rotated_password_counts_from_the_next_connection_on(
    connections: dict[str, ConnectionSettings],
    warehouse_admin: ConnectionSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = ConnectionSettings.from_airflow()
    settings.connect(role=LOADER).close()
    with warehouse_admin.connect(autocommit=True) as admin:
        admin.execute("alter role only_loader password 'rotated'")
    try:
        with pytest.raises(ConnectionFailed, match=r"password \(DB_USER, DB_PASSWORD\)"):
            settings.connect(role=LOADER)
        rotated = connections[LOADER].model_copy(update={"password": SecretStr("rotated")})
        monkeypatch.setenv(variable(LOADER), rotated.as_airflow_connection())
        settings.connect(role=LOADER).close()
    finally:
        with warehouse_admin.connect(autocommit=True) as admin:
            admin.execute("drop owned by only_loader")
            admin.execute("drop role only_loader")


@pytest.mark.usefixtures("connections")
def test_a_role_without_a_connection_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ConnectionSettings.from_airflow()
    monkeypatch.delenv(variable(AUDITOR))
    with pytest.raises(Exception, match="survivor_postgres_auditor"):
        settings.connect(role=AUDITOR)

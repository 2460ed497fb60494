"""A sound release passes its audits; each thing that was ever wrong with the data stops one.

The audits run as in production: Soda and Great Expectations in the quality environment, on a
release whose silver and gold dbt built from a made-up show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from include.environments import MissingEnvironment, executable
from include.quality.run import AuditFailed, audit_with_great_expectations, audit_with_soda
from include.quality.session import AuditError
from include.warehouse.bootstrap import bootstrap
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import LAYERS, LOADER, SCHEMA_OWNERS, release_schema
from tests.integration.survivor_world import open_test_release, open_world, transform_world

if TYPE_CHECKING:
    from include.local.postgres import PostgresServer

LOGIN = "audit_tests"
# Every character that a configuration file, a shell or a URL would stumble over.
PASSWORD = "pa$${DB_HOST} w'ord/%40&\"@:#"

Audit = Callable[[int], list[str]]


def ignore(line: str) -> None:
    """Take a line of a report that the test does not read."""


@pytest.fixture(scope="module")
def admin(postgres_server: PostgresServer) -> Iterator[ConnectionSettings]:
    for environment, program in (("dbt", "dbt"), ("quality", "python")):
        try:
            executable(environment, program)  # type: ignore[arg-type]
        except MissingEnvironment as error:
            pytest.skip(str(error))
    from include.local.databases import ensure_login

    with postgres_server.settings().connect(autocommit=True) as connection:
        ensure_login(connection, LOGIN, PASSWORD)
        connection.execute("create database audits")
    settings = postgres_server.settings("audits")
    bootstrap(settings, LOGIN)
    yield settings
    with postgres_server.settings().connect(autocommit=True) as connection:
        connection.execute("drop database audits with (force)")


@pytest.fixture(scope="module")
def pipeline(admin: ConnectionSettings) -> ConnectionSettings:
    return admin.model_copy(update={"user": LOGIN, "password": SecretStr(PASSWORD)})


@pytest.fixture(scope="module")
def sound(
    admin: ConnectionSettings,
    pipeline: ConnectionSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> int:
    """A release without faults."""
    release_id = open_world(pipeline)
    transform_world(pipeline, release_id, tmp_path_factory.mktemp("dbt"))
    _keep(admin, release_id)
    return release_id


@pytest.fixture
def copy_of_sound(admin: ConnectionSettings, pipeline: ConnectionSettings, sound: int) -> int:
    """Another release with the same tables, to damage."""
    release_id = open_test_release(pipeline)
    for layer in LAYERS:
        schema = release_schema(layer, sound)
        with pipeline.connect(role=SCHEMA_OWNERS[layer]) as connection:
            for (table,) in connection.execute(
                "select tablename from pg_tables where schemaname = %s", (schema,)
            ).fetchall():
                connection.execute(
                    sql.SQL("create table {} as table {}").format(
                        sql.Identifier(release_schema(layer, release_id), table),
                        sql.Identifier(schema, table),
                    )
                )
    _keep(admin, release_id)
    return release_id


def _keep(admin: ConnectionSettings, release_id: int) -> None:
    """Protect a release from the next one, which takes an unfinished one for abandoned."""
    with admin.connect() as connection:
        connection.execute(
            "update ops.releases set state = 'superseded' where release_id = %s", (release_id,)
        )


def damage(admin: ConnectionSettings, release_id: int, *statements: str) -> None:
    with admin.connect() as connection:
        connection.execute(
            "select set_config('search_path', %s, false)",
            (",".join(release_schema(layer, release_id) for layer in LAYERS),),
        )
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]


def recorded(admin: ConnectionSettings, release_id: int, tool: str) -> dict[str, str]:
    with admin.connect() as connection:
        found = connection.execute(
            "select check_id, outcome from ops.check_results where release_id = %s and tool = %s",
            (release_id, tool),
        )
        return {str(check): str(outcome) for check, outcome in found}


def test_soda_passes_a_sound_release_and_records_every_check(
    admin: ConnectionSettings, pipeline: ConnectionSettings, sound: int
) -> None:
    report: list[str] = []
    audit_with_soda(sound, pipeline, ["bronze", "silver"], report.append)
    results = recorded(admin, sound, "soda")
    assert len(results) > 150
    assert set(results.values()) == {"passed"}
    assert "bronze.castaways" in report
    assert "  ok    one row per castaway and season" in report
    assert report[-1].startswith(f"{len(results)} checks: {len(results)} passed")
    assert PASSWORD not in "\n".join(report)


def test_great_expectations_passes_a_sound_release_with_warnings(
    admin: ConnectionSettings, pipeline: ConnectionSettings, sound: int, tmp_path: Path
) -> None:
    """The made-up show is so plain that some features are the same for everybody."""
    report: list[str] = []
    audit_with_great_expectations(sound, pipeline, tmp_path / "docs", report.append)
    results = recorded(admin, sound, "great_expectations")
    assert len(results) > 70
    assert {check for check, outcome in results.items() if outcome != "passed"} == {
        "gold.ml_features_non_edit.no_feature_is_the_same_for_everybody",
        "gold.ml_features_hybrid.no_feature_is_the_same_for_everybody",
    }
    assert set(results.values()) == {"passed", "warned"}
    assert PASSWORD not in "\n".join(report)
    # The rows that a query finds are asked for only then.
    assert re.search(r"found \d+; such as name=\w+, value=", "\n".join(report))

    pages = list((tmp_path / "docs").rglob("*.html"))
    index = (tmp_path / "docs" / "index.html").read_text(encoding="utf-8")
    for table in ("ml_features_hybrid", "ml_features_as_of"):
        assert (tmp_path / "docs" / "distributions" / f"{table}.html") in pages
        assert f'href="distributions/{table}.html"' in index
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:link|script|img|iframe)\b[^>]*https?://[^>]*>", html), page
        assert not re.findall(r"\burl\([\"']?https?:", html), page
        # Half of a dark page, and a letter to subscribe to.
        if "distributions" not in page.parts:
            assert "prefers-color-scheme" not in html and "<footer>" not in html, page
        for asset in re.findall(r'<(?:link|script|img)\b[^>]*(?:href|src)="([^"]+)"', html):
            assert (page.parent / asset).exists(), f"{page} wants {asset}"
    for file in (tmp_path / "docs").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert PASSWORD.encode() not in content, file
            assert LOGIN.encode() not in content, file


def test_damaged_bronze_and_silver_are_stopped_by_the_check_that_says_why(
    admin: ConnectionSettings, pipeline: ConnectionSettings, copy_of_sound: int
) -> None:
    damage(
        admin,
        copy_of_sound,
        # A castaway is listed twice.
        "insert into castaways select * from castaways where version_season = 'US07' and place = 5",
        # A season has two winners.
        "update castaways set winner = true where version_season = 'US08' and place <= 2",
        # A version of the show that nobody knows: AW01 was what AU11 is called today.
        "update season_summary set version = 'AW' where version_season = 'AU11'",
        # A 14-row boot_mapping was published for three hours.
        "delete from boot_mapping where version_season <> 'US01' or sog_id > 1",
        # An age of 35 years, in the wrong unit.
        "update castaways set age = 420 where version_season = 'US09' and place = 3",
        # Votes counted twice.
        "insert into vote_history select * from vote_history where version_season = 'US10'",
        # A share of 12.
        "update social_positioning set original_tribe_proportion = 12 where sog_id = 11",
        # Every season without returnees.
        "update season_context set returnee_count = 0",
        # Winners who sat out.
        "update challenge_performance set sit_out = true, participated = false where won_flag = 1",
        # A season that silver lost.
        "delete from jury_analysis where version_season = 'AU03'",
    )
    with pytest.raises(AuditFailed, match="one row per castaway and season") as caught:
        audit_with_soda(copy_of_sound, pipeline, ["bronze", "silver"], ignore)
    results = recorded(admin, copy_of_sound, "soda")
    for check in (
        "bronze.castaways.one_row_per_castaway_and_season",
        "bronze.castaways.a_season_that_is_over_has_exactly_one_winner",
        "bronze.season_summary.every_season_belongs_to_a_known_version_of_the_show",
        "bronze.boot_mapping.every_season_that_is_over_has_its_stages",
        "bronze.castaways.ages_lie_between_15_and_90",
        "bronze.vote_history.a_castaway_has_one_ballot_in_a_round_or_an_extra_vote",
        "silver.social_positioning.the_share_of_the_original_tribe_is_between_0_and_1",
        "silver.season_context.returnees_are_counted_as_the_profiles_know_them",
        "silver.challenge_performance.nobody_wins_a_challenge_without_taking_part",
        "silver.jury_analysis.finalists_have_the_votes_that_bronze_gives_them",
    ):
        assert results[check] == "failed", check
    assert len(caught.value.findings) == list(results.values()).count("failed")
    winners = next(text for text in caught.value.findings if "exactly one winner" in text)
    assert "version_season=US08, winners=2" in winners


def test_damaged_gold_is_stopped_by_the_expectation_that_says_why(
    admin: ConnectionSettings, pipeline: ConnectionSettings, copy_of_sound: int, tmp_path: Path
) -> None:
    damage(
        admin,
        copy_of_sound,
        "update ml_features_non_edit set target_winner = 1 where version_season = 'US08'"
        " and target_placement <= 2",
        "insert into ml_features_non_edit select * from ml_features_non_edit"
        " where version_season = 'US09' and target_placement = 4",
        "delete from ml_features_non_edit where version_season = 'US12'",
        "update ml_features_non_edit set vote_accuracy_rate = 12 where version_season = 'US13'",
        "update ml_features_non_edit set idols_found = 0",
        "update ml_features_non_edit set jury_votes_received = 7 where version_season = 'US14'"
        " and target_placement = 2",
        "update ml_features_hybrid set total_confessional_time = 0"
        " where total_confessional_time is null",
        "update ml_features_hybrid set current_age = current_age + 1",
    )
    with pytest.raises(AuditFailed, match="every season has exactly one winner") as caught:
        audit_with_great_expectations(copy_of_sound, pipeline, tmp_path, ignore)
    results = recorded(admin, copy_of_sound, "great_expectations")
    for check in (
        "gold.ml_features_non_edit.every_season_has_exactly_one_winner",
        "gold.ml_features_non_edit.one_row_per_version_season_castaway_id",
        "gold.ml_features_non_edit.exactly_the_castaways_of_complete_seasons_are_there",
        "gold.ml_features_non_edit.vote_accuracy_rate_is_between_0_and_1",
        "gold.ml_features_non_edit.the_features_that_models_live_on_are_not_the_same_for_everybody",
        "gold.ml_features_non_edit.finalists_have_the_jury_votes_that_the_jury_gave",
        "gold.ml_features_hybrid.an_unknown_speaking_time_stays_unknown",
        "gold.ml_features_hybrid.the_features_that_both_tables_have_are_the_same",
    ):
        assert results[check] == "failed", check
    accuracy = next(text for text in caught.value.findings if "vote_accuracy_rate is" in text)
    assert "rows do not meet it; such as version_season=US13, castaway_id=" in accuracy


def test_a_warning_is_recorded_and_stops_nothing(
    admin: ConnectionSettings, pipeline: ConnectionSettings, copy_of_sound: int
) -> None:
    damage(admin, copy_of_sound, "update episodes set episode_date = episode_date - 1000")
    report: list[str] = []
    audit_with_soda(copy_of_sound, pipeline, ["bronze"], report.append)
    results = recorded(admin, copy_of_sound, "soda")
    late = "bronze.episodes.the_newest_episode_aired_in_the_last_240_days"
    assert {check for check, outcome in results.items() if outcome != "passed"} == {late}
    assert results[late] == "warned"
    assert any(line.startswith("  warn  the newest episode") for line in report)


def test_a_check_that_cannot_be_evaluated_blocks(
    admin: ConnectionSettings, pipeline: ConnectionSettings, copy_of_sound: int
) -> None:
    damage(admin, copy_of_sound, "alter table confessionals drop column confessional_time")
    with pytest.raises(AuditFailed, match='column "confessional_time" does not exist'):
        audit_with_soda(copy_of_sound, pipeline, ["bronze"], ignore)
    assert "error" in recorded(admin, copy_of_sound, "soda").values()


def test_a_table_may_be_absent_only_when_the_loader_recorded_it(
    admin: ConnectionSettings, pipeline: ConnectionSettings, copy_of_sound: int
) -> None:
    damage(admin, copy_of_sound, "drop table tribe_colours")
    with pytest.raises(AuditError, match=r"bronze_r\d+ lacks tribe_colours"):
        audit_with_soda(copy_of_sound, pipeline, ["bronze"], ignore)
    with pipeline.connect(role=LOADER) as connection:
        connection.execute(
            "insert into ops.schema_drift (release_id, dataset, kind, severity, detail) "
            "values (%s, 'tribe_colours', 'unavailable_dataset', 'recorded', 'a snapshot')",
            (copy_of_sound,),
        )
    report: list[str] = []
    audit_with_soda(copy_of_sound, pipeline, ["bronze"], report.append)
    assert any(line.startswith("Skipped: bronze.tribe_colours") for line in report)
    assert not any("tribe_colours" in check for check in recorded(admin, copy_of_sound, "soda"))


def test_an_audit_that_cannot_run_is_no_verdict(
    pipeline: ConnectionSettings, sound: int, tmp_path: Path
) -> None:
    with pytest.raises(AuditError, match="There is no release 999"):
        audit_with_soda(999, pipeline, ["bronze"], ignore)
    stranger = pipeline.model_copy(update={"password": SecretStr("wrong")})
    with pytest.raises(AuditError, match="password authentication failed"):
        audit_with_great_expectations(sound, stranger, tmp_path, ignore)


def test_audits_leave_the_release_as_it_is(pipeline: ConnectionSettings, sound: int) -> None:
    with pipeline.connect(role="gamebot_auditor") as connection, pytest.raises(psycopg.Error):
        connection.execute(f"delete from bronze_r{sound}.castaways")  # type: ignore[arg-type]


def test_dbts_tests_judge_a_finished_release_as_the_auditor(
    admin: ConnectionSettings,
    pipeline: ConnectionSettings,
    sound: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As DAG survivor_release_audit does; who built the tables may not even read them by then."""
    from airflow.sdk.exceptions import AirflowFailException

    from include.transformation.rendering import dbt_test

    monkeypatch.setenv("AIRFLOW_CONN_SURVIVOR_POSTGRES", pipeline.as_airflow_connection())
    monkeypatch.setenv("AIRFLOW__COSMOS__CACHE_DIR", str(tmp_path))
    task = dbt_test()
    task.env = {**task.env, "GAMEBOT_RELEASE_ID": str(sound)}
    ti = SimpleNamespace(xcom_pull=lambda **_: sound, task=task)
    context: Any = {"ti": ti, "run_id": "manual__1", "params": {}}
    # The made-up show is small and plain.
    with pytest.raises(AirflowFailException, match="bronze has nearly all rows of the ledger"):
        task.execute(context)
    results = recorded(admin, sound, "dbt")
    assert list(results.values()).count("passed") > 500
    assert "error" not in results.values()
    # They ask our code, and would say the same of every release.
    assert not [check for check in results if check.startswith("unit_test") or "::" in check]
    assert " test " in task.dbt_command and PASSWORD not in task.dbt_command

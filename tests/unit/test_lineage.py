"""What OpenLineage is told of a task, and that a task never suffers for it."""

from __future__ import annotations

import json
import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from include import lineage
from include.ingestion.sources import ResolvedSource
from include.lineage import Dataset, Lineage, report, source_file
from include.warehouse.checks import CheckResult

COMMIT = "80aaf49" * 5 + "80aaf"
TRANSPORT = "AIRFLOW__OPENLINEAGE__TRANSPORT"


def source(kind: Any, location: str, commit: str | None) -> ResolvedSource:
    return ResolvedSource(
        kind=kind, version="v7", location=location, commit=commit, fingerprint="f"
    )


@pytest.mark.parametrize(
    ("resolved", "namespace", "name", "version"),
    [
        (
            source("upstream", f"github.com/doehm/survivoR/tree/{COMMIT}/data", COMMIT),
            "https://github.com",
            "doehm/survivoR/data/castaways.rda",
            COMMIT,
        ),
        (source("directory", "/data/june", COMMIT), "file", "/data/june/castaways.rda", COMMIT),
        (source("directory", "/data/june", None), "file", "/data/june/castaways.rda", "5ha"),
        (
            source("snapshot", "Python package gamebot-lite v7", None),
            "pypi",
            "gamebot-lite/castaways.rda",
            "v7",
        ),
    ],
)
def test_a_file_of_upstream_has_the_same_name_in_every_release(
    resolved: ResolvedSource, namespace: str, name: str, version: str
) -> None:
    file = source_file(resolved, "castaways.rda", sha256="5ha")
    assert (file.namespace, file.name, file.version) == (namespace, name, version)


def test_a_mirror_with_a_password_in_its_address_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mirror = "https://ana:hunter2@mirror.example.org"  # pragma: allowlist secret
    monkeypatch.setenv("GAMEBOT_UPSTREAM_RAW_URL", mirror)
    resolved = source("upstream", "github.com/doehm/survivoR", COMMIT)
    assert "hunter2" not in str(source_file(resolved, "castaways.rda", "5ha"))


def task_instance() -> Any:
    return SimpleNamespace(task=SimpleNamespace(inlets=[], outlets=[]))


def never() -> Lineage:
    raise AssertionError("nobody listens, and yet it was asked for")


def test_where_nobody_listens_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRANSPORT, raising=False)
    report(task_instance(), never)


def test_without_the_provider_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRANSPORT, '{"type": "console"}')
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage", None)
    report(task_instance(), never)


def test_lineage_that_cannot_be_told_fails_no_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lineage, "_is_listened_to", lambda: True)

    def lost() -> Lineage:
        raise OSError("the warehouse is gone")

    with caplog.at_level(logging.ERROR):
        report(task_instance(), lost)
    assert "could not be told" in caplog.text


@pytest.mark.parametrize("malformed", ["{", "[1]"])
def test_a_malformed_transport_fails_no_task(
    monkeypatch: pytest.MonkeyPatch, malformed: str
) -> None:
    monkeypatch.setenv(TRANSPORT, malformed)
    report(task_instance(), never)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Report lineage, and return the inputs and outputs as the event has them."""
    pytest.importorskip("airflow.providers.openlineage", reason="make test installs it")
    from airflow.providers.openlineage.extractors.manager import ExtractorManager
    from openlineage.client.serde import Serde

    monkeypatch.setenv(TRANSPORT, '{"type": "console"}')

    def told(said: Lineage) -> tuple[list[Any], list[Any]]:
        ti = task_instance()
        report(ti, lambda: said)
        inputs, outputs = (
            [json.loads(Serde.to_json(ExtractorManager.convert_to_ol_dataset(each))) for each in of]
            for of in (ti.task.inlets, ti.task.outlets)
        )
        return inputs, outputs

    return told


FILE = Dataset("file", "/data/votes.rda", version=COMMIT)
TABLE = Dataset(
    "postgres://db:5432",
    "warehouse.bronze_rN.votes",
    version="42",
    real_name="warehouse.bronze_r42.votes",
    columns={"vote": "text", "order": "integer", "_row_number": "integer"},
    rows=7,
    copied_from=FILE,
)


def test_a_table_keeps_its_name_and_says_which_release_it_is_of(told: Any) -> None:
    _, (table,) = told(Lineage([FILE], [TABLE]))
    assert (table["namespace"], table["name"]) == (
        "postgres://db:5432",
        "warehouse.bronze_rN.votes",
    )
    facets = table["facets"]
    assert facets["version"]["datasetVersion"] == "42"
    (symlink,) = facets["symlinks"]["identifiers"]
    assert symlink["name"] == "warehouse.bronze_r42.votes"
    assert [(column["name"], column["type"]) for column in facets["schema"]["fields"]] == [
        ("vote", "text"),
        ("order", "integer"),
        ("_row_number", "integer"),
    ]
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 7


def test_a_task_that_copies_many_tables_says_which_is_made_from_which(told: Any) -> None:
    _, (table,) = told(Lineage([FILE], [TABLE]))
    fields = table["facets"]["columnLineage"]["fields"]
    # Upstream has no row numbers: the pipeline adds them.
    assert fields.keys() == {"vote", "order"}
    (made_from,) = fields["vote"]["inputFields"]
    assert (made_from["name"], made_from["field"]) == ("/data/votes.rda", "vote")


def test_readers_get_the_columns_that_the_pipeline_added_too(told: Any) -> None:
    view = Dataset(
        "postgres://db:5432", "warehouse.bronze.votes", columns=TABLE.columns, copied_from=TABLE
    )
    _, (shown,) = told(Lineage([TABLE], [view]))
    assert shown["facets"]["columnLineage"]["fields"].keys() == TABLE.columns.keys()


def test_a_check_is_told_with_what_it_found_and_without_rows(told: Any) -> None:
    check = CheckResult(
        tool="soda",
        check_id="bronze.votes.every_vote_is_known",
        layer="bronze",
        table_name="votes",
        column_name="vote",
        description="every vote is known",
        severity="blocking",
        outcome="failed",
        observed={"value": 3, "limit": "= 0", "sample": [{"castaway": "Sandra"}]},
        message="found 3; such as castaway=Sandra",
    )
    ((table,), _) = told(Lineage([Dataset("postgres://db:5432", "votes", checks=(check,))]))
    (assertion,) = table["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert assertion["success"] is False
    assert assertion["severity"] == "error"
    assert (assertion["name"], assertion["column"]) == (check.check_id, "vote")
    assert assertion["actual"] == "3"
    assert "Sandra" not in json.dumps(table)

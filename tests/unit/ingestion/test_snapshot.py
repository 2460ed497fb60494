"""Source `snapshot`: the package's tables become upstream's again."""

from __future__ import annotations

import datetime
import os
import sqlite3
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from include.ingestion.catalog import load_catalog
from include.ingestion.contract import check_columns
from include.ingestion.reader import Table, UnreadableFile
from include.ingestion.sources import (
    SourceError,
    SourceRequest,
    SourceUnavailable,
    fetch,
    resolve_source,
    snapshot,
)
from include.ingestion.sources.snapshot import SnapshotDatabase

INGEST = {"ingest_run_id": "TEXT", "source_dataset": "TEXT", "ingested_at": "TIMESTAMP"}

Rows = list[dict[str, Any]]


class Package:
    """A database such as the package holds; tables are as wide as a test needs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, table: str, types: dict[str, str], rows: Rows) -> None:
        types = {**types, **INGEST}
        definitions = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
        with sqlite3.connect(self.path) as connection:
            connection.execute(f'create table "{table}" ({definitions})')
            connection.executemany(
                f'insert into "{table}" values ({", ".join("?" * len(types))})',
                [[row.get(name) for name in types] for row in rows],
            )
        connection.close()

    def read(self, dataset: str) -> Table:
        return SnapshotDatabase.open(self.path, [dataset]).read(dataset)

    def values(self, dataset: str) -> Rows:
        table = self.read(dataset)
        frame = table.frame.astype(object)
        return frame.where(frame.notna(), None).to_dict("records")


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Package(tmp_path / "gamebot.sqlite")


def test_order_gets_its_name_back_and_added_columns_go(package: Package) -> None:
    package.add(
        "boot_order",
        {"boot_order_id": "BIGINT", "version_season": "TEXT", "boot_order_position": "BIGINT"},
        [{"boot_order_id": 1, "version_season": "US01", "boot_order_position": 3}],
    )
    assert package.values("boot_order") == [{"version_season": "US01", "order": 3}]


def test_rows_stand_in_upstreams_order(package: Package) -> None:
    """Rows that the earlier loader updated moved to the end of its table."""
    package.add(
        "journeys",
        {"journey_id": "BIGINT", "castaway": "TEXT"},
        [{"journey_id": 2, "castaway": "B"}, {"journey_id": 1, "castaway": "A"}],
    )
    assert [row["castaway"] for row in package.values("journeys")] == ["A", "B"]


def test_types_are_rs_types(package: Package) -> None:
    package.add(
        "castaways",
        {
            "castaway_unique_id": "BIGINT",
            "version_season": "TEXT",
            "place": "TEXT",
            "jury": "BOOLEAN",
            "ack_score": "FLOAT",
            "age": "BIGINT",
            "born": "DATE",
            "original_tribe": "TEXT",
        },
        [
            {"castaway_unique_id": 1, "version_season": "US10", "place": "20", "jury": 0,
             "ack_score": 4.0, "age": 30, "born": "1980-02-29", "original_tribe": None},
            {"castaway_unique_id": 2, "version_season": "US10"},
        ],
    )  # fmt: skip
    table = package.read("castaways")
    assert table.r_types == {
        "version_season": "character",
        "place": "integer",
        "jury": "logical",
        "ack_score": "double",
        "age": "integer",
        "born": "Date",
        "original_tribe": "character",
    }
    first, second = package.values("castaways")
    assert first["place"] == 20
    assert first["jury"] is False
    assert first["born"] == datetime.date(1980, 2, 29)
    assert first["original_tribe"] == "None"
    assert second["jury"] is None and second["age"] is None and second["place"] is None


def test_votes_and_choices_stored_as_text(package: Package) -> None:
    package.add(
        "jury_votes",
        {"jury_vote_id": "BIGINT", "vote": "TEXT"},
        [{"jury_vote_id": 1, "vote": "0.0"}, {"jury_vote_id": 2, "vote": "1.0"}],
    )
    package.add(
        "journeys",
        {"journey_id": "BIGINT", "chose_to_play": "TEXT"},
        [
            {"journey_id": 1, "chose_to_play": "True"},
            {"journey_id": 2, "chose_to_play": "False"},
            {"journey_id": 3},
        ],
    )
    assert [row["vote"] for row in package.values("jury_votes")] == [0, 1]
    assert [row["chose_to_play"] for row in package.values("journeys")] == [True, False, None]


def test_invented_challenges_are_dropped(package: Package) -> None:
    """SA05 36 to 40 never stood in upstream's challenge_description."""
    package.add(
        "challenge_description",
        {"version_season": "TEXT", "challenge_id": "BIGINT"},
        [
            {"version_season": season, "challenge_id": number}
            for season in ("SA05", "SA06")
            for number in (35, 36, 40, 41)
        ],
    )
    kept = {
        (row["version_season"], row["challenge_id"])
        for row in package.values("challenge_description")
    }
    assert kept == {("SA05", 35), ("SA05", 41), *(("SA06", n) for n in (35, 36, 40, 41))}


def test_flags_of_results_come_from_the_summary_and_its_stage_from_the_results(
    package: Package,
) -> None:
    key = {"version_season": "TEXT", "castaway_id": "TEXT", "challenge_id": "BIGINT"}
    package.add(
        "challenge_results",
        {"challenge_results_id": "BIGINT", **key, "tribe": "TEXT", "outcome_type": "TEXT",
         "sog_id": "BIGINT"},
        [
            {"challenge_results_id": 1, "version_season": "US01", "castaway_id": "A",
             "challenge_id": 7, "outcome_type": "Individual", "sog_id": 4, "tribe": "Pagong"},
            {"challenge_results_id": 2, "version_season": "NZ02", "castaway_id": "B",
             "challenge_id": 7, "outcome_type": "Individual", "sog_id": 5},
            {"challenge_results_id": 3, "version_season": "US38", "castaway_id": "C",
             "challenge_id": 8, "outcome_type": "Team", "sog_id": 6},
        ],
    )  # fmt: skip
    summary = {"version_season": "US01", "castaway_id": "A", "challenge_id": 7}
    package.add(
        "challenge_summary",
        {**key, "category": "TEXT", "won": "FLOAT", "tribe": "TEXT"},
        [
            {**summary, "category": "All", "won": 1.0, "tribe": "Pagong"},
            {**summary, "category": "Individual Immunity", "won": 1.0, "tribe": "Pagong"},
            {**summary, "category": "Individual Reward", "won": 0.0, "tribe": "Pagong"},
        ],
    )
    won, absent, unknown = package.values("challenge_results")
    assert won["won"] == won["won_individual_immunity"] == 1
    assert won["won_individual_reward"] == won["won_duel"] == 0
    # Absent from an individual challenge means not won, from a team's means an unknown line-up.
    assert [absent[flag] for flag in snapshot.WON_CATEGORIES] == [0] * 8
    assert [unknown[flag] for flag in snapshot.WON_CATEGORIES] == [None] * 8
    # The text 'None' comes back, except in seasons where upstream itself has a gap.
    assert [row["tribe"] for row in (won, absent, unknown)] == ["Pagong", "None", None]
    assert [row["sog_id"] for row in package.values("challenge_summary")] == [4, 4, 4]


def test_events_that_were_split_become_one_row_again(package: Package) -> None:
    """An idol of US47 is held by three people; upstream writes them in one row."""
    event = {"version_season": "US47", "advantage_id": 10, "joint_play": 1, "success": "not needed"}
    package.add(
        "advantage_movement",
        {"advantage_movement_id": "BIGINT", "version_season": "TEXT", "advantage_id": "BIGINT",
         "sequence_id": "BIGINT", "castaway": "TEXT", "castaway_id": "TEXT", "played_for": "TEXT",
         "played_for_id": "TEXT", "success": "TEXT", "co_castaway_ids": "TEXT",
         "joint_play": "BOOLEAN", "multi_target_play": "BOOLEAN"},
        [
            {**event, "advantage_movement_id": 1, "sequence_id": 1, "castaway": "Teeny",
             "castaway_id": "US0701", "played_for": "Teeny", "played_for_id": "US0713"},
            {**event, "advantage_movement_id": 2, "sequence_id": 1, "castaway": "Caroline",
             "castaway_id": "US0698", "played_for": "Teeny", "played_for_id": "US0713"},
            {**event, "advantage_movement_id": 3, "sequence_id": 2, "castaway": "Andy",
             "castaway_id": "US0713", "success": None},
        ],
    )  # fmt: skip
    first, second = package.values("advantage_movement")
    assert first == {
        "version_season": "US47",
        "advantage_id": 10,
        "sequence_id": 1,
        "castaway": "Teeny, Caroline",
        "castaway_id": "US0701, US0698",
        "played_for": "Teeny",
        "played_for_id": "US0713",
        "success": "Not needed",
    }
    assert (second["castaway_id"], second["played_for"], second["success"]) == (
        "US0713",
        None,
        None,
    )


def test_a_table_of_another_form_is_refused_by_name(package: Package) -> None:
    package.add("castaways", {"castaway_unique_id": "BIGINT", "place": "TEXT"}, [{"place": "last"}])
    with pytest.raises(UnreadableFile, match="table castaways"):
        package.read("castaways")


def test_no_database_and_no_tables(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no gamebot"):
        SnapshotDatabase.open(tmp_path / "gamebot.sqlite", ["castaways"])
    (tmp_path / "gamebot.sqlite").write_bytes(b"not a database, long enough to look at" * 40)
    with pytest.raises(SourceError, match="no SQLite database"):
        SnapshotDatabase.open(tmp_path / "gamebot.sqlite", ["castaways"])


def test_the_pinned_package_is_resolved_without_any_network() -> None:
    source = resolve_source(SourceRequest(source="snapshot"))
    assert (source.kind, source.version, source.commit) == ("snapshot", "0.2.2", None)
    assert source.note and "advantage_timeline" in source.note


def test_what_it_lacks_is_what_the_catalogue_and_the_note_say() -> None:
    for name, dataset in load_catalog().datasets.items():
        unavailable = dataset.unavailable_in.get("snapshot", [])
        for column in [name] if unavailable == "all" else unavailable:
            assert column in snapshot.NOTE


def test_an_unreachable_index_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uv")

    def offline(command: list[str], **options: Any) -> None:
        assert {"--no-deps", "--require-hashes", "--target"} <= set(command)
        raise subprocess.CalledProcessError(2, command, stderr="dns error:\n  no such host")

    monkeypatch.setattr(snapshot.subprocess, "run", offline)
    source = resolve_source(SourceRequest(source="snapshot"))
    with pytest.raises(SourceUnavailable, match="dns error: no such host"):
        fetch(source, ["castaways"], tmp_path, lambda line: None)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ({}, None),
        ({"PIP_INDEX_URL": "http://pips/simple"}, "http://pips/simple"),
        ({"PIP_INDEX_URL": "http://pips", "UV_DEFAULT_INDEX": "http://uvs"}, "http://uvs"),
        ({"PIP_INDEX_URL": "http://pips", "UV_INDEX_URL": "http://uvs"}, None),
    ],
)
def test_a_mirror_and_the_certificates_of_the_machine_are_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, str],
    heard: str | None,
) -> None:
    """Behind the proxy of a company, only the machine's certificates know the mirror."""
    pytest.importorskip("uv")
    told: dict[str, str] = {}

    def offline(command: list[str], *, env: dict[str, str], **options: Any) -> None:
        told.update(env)
        raise subprocess.CalledProcessError(2, command, stderr="offline")

    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_SYSTEM_CERTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    bundle = tmp_path / "bundle.crt"
    bundle.write_text("certificates")
    monkeypatch.setattr(snapshot, "CERTIFICATES", (tmp_path / "nowhere", bundle))
    monkeypatch.setattr(snapshot.subprocess, "run", offline)
    with pytest.raises(SourceUnavailable):
        fetch(snapshot.resolve(), ["castaways"], tmp_path, lambda line: None)
    assert told.get("UV_DEFAULT_INDEX") == heard
    assert told["UV_SYSTEM_CERTS"] == "true"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page of the package in a package index of this machine, and its folder."""
    page = tmp_path / "index" / "gamebot-lite"
    page.mkdir(parents=True)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield page
    server.shutdown()
    server.server_close()


def test_a_package_of_other_content_is_refused(tmp_path: Path, index: Path) -> None:
    """An index, or whoever stands before it, gives another file under the pinned name."""
    pytest.importorskip("uv")
    version = snapshot.resolve().version
    wheel = index / f"gamebot_lite-{version}-py3-none-any.whl"
    info = f"gamebot_lite-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("gamebot_lite/data/gamebot.sqlite", bytes(2**20))
        archive.writestr("../../escaped.txt", "out of its folder")
        metadata = f"Metadata-Version: 2.1\nName: gamebot-lite\nVersion: {version}\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    (index / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    (tmp_path / "into").mkdir()
    with pytest.raises(SourceUnavailable, match=r"cannot be installed.*[Hh]ash"):
        fetch(snapshot.resolve(), ["castaways"], tmp_path / "into", lambda line: None)
    assert not list((tmp_path / "into").rglob("gamebot*"))
    assert not list(tmp_path.rglob("escaped.txt"))


def test_another_pin_than_the_resolved_one_is_refused(tmp_path: Path) -> None:
    source = resolve_source(SourceRequest(source="snapshot"))
    other = source.model_copy(update={"fingerprint": "0" * 64})
    with pytest.raises(SourceError, match="Deploy one version"):
        fetch(other, ["castaways"], tmp_path, lambda line: None)


@pytest.mark.registry
def test_the_real_package_keeps_the_contract(tmp_path: Path) -> None:
    """Installs it as a run does; every column of the catalogue is there or is known to lack."""
    pytest.importorskip("uv")
    catalog = load_catalog()
    source = resolve_source(SourceRequest(source="snapshot"))
    try:
        fetched = fetch(source, catalog.datasets.keys(), tmp_path, lambda line: None)
    except SourceUnavailable as error:
        pytest.skip(str(error))
    assert len(fetched.files) == 19
    rows = 0
    for name in fetched.files:
        shape, drift = check_columns(name, catalog.datasets[name], fetched.read(name), "snapshot")
        rows += shape.rows
        assert [str(item) for item in drift if item.severity == "blocking"] == []
    assert rows == 183_100

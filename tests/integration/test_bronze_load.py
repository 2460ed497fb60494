"""Bronze holds exactly what the source holds, all of it or nothing."""

from __future__ import annotations

import datetime
import math
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from include.ingestion import load
from include.ingestion.catalog import POSTGRES_TYPES, load_catalog
from include.ingestion.contract import ContractViolation
from include.ingestion.load import load_bronze
from include.ingestion.reader import RType, UnreadableFile, read_table
from include.ingestion.sources import ResolvedSource, SourceError, SourceRequest, resolve_source
from include.warehouse import schemas
from include.warehouse.connection import ConnectionSettings
from include.warehouse.publication import show_release
from include.warehouse.releases import open_release
from tests.survivor_files import SEASONS, minimal_dataset, write_columns, write_minimal_survivor

pytestmark = pytest.mark.integration


@pytest.fixture
def survivor(tmp_path: Path) -> Path:
    return write_minimal_survivor(tmp_path / "survivor")


@pytest.fixture
def loader(warehouse: ConnectionSettings) -> Iterator[psycopg.Connection]:
    with warehouse.connect(role=schemas.LOADER) as connection:
        yield connection


@pytest.fixture
def opened(warehouse: ConnectionSettings) -> Callable[[ResolvedSource], int]:
    def open_for(source: ResolvedSource) -> int:
        with warehouse.connect(role=schemas.OWNER) as connection:
            return open_release(
                connection,
                source,
                code_fingerprint="code",
                target_layer="bronze",
                triggered_by="a test",
            )

    return open_for


def resolved(folder: Path) -> ResolvedSource:
    return resolve_source(SourceRequest(source="directory", directory=str(folder)))


def silent(line: str) -> None:
    pass


def query(connection: psycopg.Connection, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.transaction():
        return connection.execute(statement, values).fetchall()


def tables_of(connection: psycopg.Connection, release_id: int) -> set[str]:
    statement = "select tablename from pg_tables where schemaname = %s"
    return {name for (name,) in query(connection, statement, f"bronze_r{release_id}")}


def in_sql(value: Any) -> Any:
    """A value of the reader as bronze keeps it: whole doubles compare equal, NaN is null."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value


def assert_copied(connection: psycopg.Connection, release_id: int, folder: Path) -> None:
    """Every value of every column of every table equals what the reader reads."""
    for name, dataset in load_catalog().datasets.items():
        path = folder / f"{name}.rda"
        if not path.exists():
            continue
        frame = read_table(path).frame
        columns = [label for label in dataset.columns if label in frame]
        columns += [label for label in frame if label not in dataset.columns]
        listed = ", ".join(f'"{label}"' for label in [*columns, "_row_number", "_release_id"])
        loaded = query(
            connection, f"select {listed} from bronze_r{release_id}.{name} order by _row_number"
        )
        expected = [
            (*map(in_sql, row), number, release_id)
            for number, row in enumerate(
                zip(*(frame[label].astype(object) for label in columns), strict=True), start=1
            )
        ]
        assert loaded == expected, name


def test_every_dataset_is_copied_value_by_value(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    lines: list[str] = []
    source = resolved(survivor)
    release_id = opened(source)
    report = load_bronze(loader, release_id, source, on_progress=lines.append)
    assert (report.datasets, report.rows, report.drift) == (21, 20 * 9 + 3, [])
    assert_copied(loader, release_id, survivor)
    assert any("21/21" in line and "vote_history" in line for line in lines)


def test_tables_have_the_catalogues_columns_and_types_in_order(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    release_id = opened(source := resolved(survivor))
    load_bronze(loader, release_id, source, on_progress=silent)
    for name, dataset in load_catalog().datasets.items():
        columns = query(
            loader,
            """
            select column_name, data_type from information_schema.columns
            where table_schema = %s and table_name = %s order by ordinal_position
            """,
            f"bronze_r{release_id}",
            name,
        )
        assert columns == [
            *((label, POSTGRES_TYPES[column.type]) for label, column in dataset.columns.items()),
            ("_row_number", "integer"),
            ("_release_id", "integer"),
        ]


def test_files_and_run_are_recorded(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    release_id = opened(source := resolved(survivor))
    load_bronze(loader, release_id, source, on_progress=silent)
    assert query(
        loader,
        """
        select status, datasets, rows, source_kind, source_version, finished_at >= started_at
        from ops.ingestion_runs where release_id = %s
        """,
        release_id,
    ) == [("succeeded", 21, 183, "directory", source.version, True)]
    files = query(
        loader,
        """
        select dataset, file_name, length(sha256), size_bytes, rows, seasons, columns
        from ops.dataset_versions where release_id = %s and dataset in ('castaways', 'journeys',
        'castaway_details') order by dataset
        """,
        release_id,
    )
    sizes = {path.stem: path.stat().st_size for path in survivor.glob("*.rda")}
    assert files == [
        ("castaway_details", "castaway_details.rda", 64, sizes["castaway_details"], 9, None, 22),
        ("castaways", "castaways.rda", 64, sizes["castaways"], 9, 3, 26),
        ("journeys", "journeys.rda", 64, sizes["journeys"], 9, 3, 12),
    ]


def test_statistics_are_there_for_the_planner(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    """Without ANALYZE one silver model took four times as long."""
    release_id = opened(source := resolved(survivor))
    load_bronze(loader, release_id, source, on_progress=silent)
    statement = "select count(distinct tablename) from pg_stats where schemaname = %s"
    assert query(loader, statement, f"bronze_r{release_id}") == [(21,)]


def test_a_new_column_is_loaded_and_recorded_and_a_missing_optional_one_is_null(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    columns = minimal_dataset("confessionals")
    del columns["index_time"]
    columns["Screen Time"] = ("double", [1.5] * 9)
    write_columns(survivor / "confessionals.rda", "confessionals", columns)
    (survivor / "viewers.rda").write_bytes(b"an unknown dataset is not even opened")
    (survivor / "advantage_timeline.rda").unlink()
    release_id = opened(source := resolved(survivor))
    report = load_bronze(loader, release_id, source, on_progress=silent)
    assert report.datasets == 20
    assert query(
        loader,
        f'select distinct "Screen Time", index_time from bronze_r{release_id}.confessionals',
    ) == [(1.5, None)]
    assert query(
        loader,
        """
        select dataset, column_name, kind, severity from ops.schema_drift
        where release_id = %s order by kind, dataset
        """,
        release_id,
    ) == [
        ("confessionals", "index_time", "missing_column", "recorded"),
        ("advantage_timeline", None, "missing_dataset", "recorded"),
        ("confessionals", "Screen Time", "new_column", "recorded"),
        ("confessionals", "index_time", "renamed_column", "recorded"),
        ("viewers", None, "retired_dataset", "recorded"),
    ]
    assert tables_of(loader, release_id) == load_catalog().datasets.keys() - {"advantage_timeline"}


def test_not_a_number_becomes_null(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    """R gives NaN for the mean of no viewers; in SQL it would sort above every number."""
    columns = minimal_dataset("season_summary")
    columns["viewers_mean"] = ("double", [math.nan, None, 1.25])
    write_columns(survivor / "season_summary.rda", "season_summary", columns)
    release_id = opened(source := resolved(survivor))
    load_bronze(loader, release_id, source, on_progress=silent)
    statement = f"select viewers_mean from bronze_r{release_id}.season_summary order by _row_number"
    assert query(loader, statement) == [(None,), (None,), (1.25,)]


def test_odd_values_are_copied_exactly(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    """Such as a form of COPY that is text would have to quote, round or read in its own way."""
    odd: dict[str, tuple[RType, list[Any]]] = {
        "text": ("character", ["", None, "None", "\\N", "\\.", 'a "b"\n\r\t\\', "Zoë 北京 🏝", ",",
                               "\n\\.\n"]),
        "label": ("factor", [None, "", "US", "AU", "US", "Ö", None, "AU", "\\."]),
        "number": ("double", [0.1, None, 5e-324, -math.inf, math.inf, 1.7976931348623157e308, -0.0,
                              1e16, 0.30000000000000004]),
        "whole": ("integer", [0, None, -1, 2**31 - 1, 1 - 2**31, 1, 2, 3, 4]),
        "flag": ("logical", [True, None, False, True, None, False, True, True, None]),
        "date": ("Date", [datetime.date(1969, 12, 31), None, datetime.date.min, datetime.date.max,
                          datetime.date(1970, 1, 1), datetime.date(2000, 1, 1), None,
                          datetime.date(2000, 2, 29), datetime.date(1900, 3, 1)]),
    }  # fmt: skip
    write_columns(survivor / "castaways.rda", "castaways", minimal_dataset("castaways") | odd)
    release_id = opened(source := resolved(survivor))
    load_bronze(loader, release_id, source, on_progress=silent)
    names = ", ".join(f'"{name}"' for name in odd)
    loaded = query(
        loader, f"select {names} from bronze_r{release_id}.castaways order by _row_number"
    )
    assert loaded == list(zip(*(values for _, values in odd.values()), strict=True))
    assert math.copysign(1, loaded[6][2]) == -1


def test_a_violation_writes_nothing_and_leaves_its_evidence(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    columns = minimal_dataset("vote_history")
    del columns["vote_id"]
    columns["day"] = ("character", ["day one"] * 9)
    write_columns(survivor / "vote_history.rda", "vote_history", columns)
    release_id = opened(source := resolved(survivor))
    with pytest.raises(ContractViolation, match=r"vote_history\.vote_id"):
        load_bronze(loader, release_id, source, on_progress=silent)
    assert tables_of(loader, release_id) == set()
    assert query(
        loader,
        """
        select column_name, kind, severity from ops.schema_drift
        where release_id = %s order by column_name
        """,
        release_id,
    ) == [("day", "retyped_column", "blocking"), ("vote_id", "missing_column", "blocking")]
    ((status, rows, failure),) = query(
        loader,
        "select status, rows, failure from ops.ingestion_runs where release_id = %s",
        release_id,
    )
    assert (status, rows) == ("failed", 0)
    assert "vote_history.day" in failure and "'day one'" in failure
    statement = "select 1 from ops.dataset_versions where release_id = %s"
    assert query(loader, statement, release_id) == []


def publish(settings: ConnectionSettings, release_id: int) -> None:
    """Make a release the published one, with which the next load is compared."""
    with settings.connect(role=schemas.OWNER) as connection:
        show_release(connection, release_id, ["bronze"])
        # What is still being built, the next release would take for a killed run's.
        connection.execute(
            "update ops.releases set state = 'superseded' where release_id = %s", (release_id,)
        )
        connection.execute(
            """
            insert into ops.published_layers (layer, release_id, published_at)
            values ('bronze', %s, now())
            on conflict (layer) do update set release_id = excluded.release_id
            """,
            (release_id,),
        )


def test_a_14_row_boot_mapping_is_refused_with_and_without_a_published_release(
    survivor: Path,
    warehouse: ConnectionSettings,
    loader: psycopg.Connection,
    opened: Callable[[ResolvedSource], int],
    tmp_path: Path,
) -> None:
    """On 2025-08-19 upstream published a 14-row boot_mapping for three hours."""
    broken = write_minimal_survivor(tmp_path / "broken")
    columns = minimal_dataset("boot_mapping", SEASONS[:1])
    write_columns(broken / "boot_mapping.rda", "boot_mapping", columns)
    first = opened(resolved(broken))
    with pytest.raises(ContractViolation, match="boot_mapping: it covers 1 of 3 seasons"):
        load_bronze(loader, first, resolved(broken), on_progress=silent)
    # It shows when every dataset was written.
    assert tables_of(loader, first) == set()

    good = opened(resolved(survivor))
    load_bronze(loader, good, resolved(survivor), on_progress=silent)
    publish(warehouse, good)
    second = opened(resolved(broken))
    with pytest.raises(ContractViolation, match="boot_mapping: 3 rows, 9 in the published release"):
        load_bronze(loader, second, resolved(broken), on_progress=silent)


def test_a_fall_that_a_person_accepts_is_loaded_and_recorded(
    survivor: Path,
    warehouse: ConnectionSettings,
    loader: psycopg.Connection,
    opened: Callable[[ResolvedSource], int],
) -> None:
    good = opened(resolved(survivor))
    load_bronze(loader, good, resolved(survivor), on_progress=silent)
    publish(warehouse, good)
    columns = minimal_dataset("journeys", SEASONS[:1])
    write_columns(survivor / "journeys.rda", "journeys", columns)
    source = resolved(survivor)
    with pytest.raises(ContractViolation, match="journeys: 3 rows"):
        load_bronze(loader, opened(source), source, on_progress=silent)
    report = load_bronze(
        loader, opened(source), source, accept_falls=["journeys"], on_progress=silent
    )
    assert {(item.dataset, item.severity) for item in report.drift} == {("journeys", "recorded")}
    with pytest.raises(ValueError, match="unknown datasets: journey"):
        load_bronze(loader, opened(source), source, accept_falls=["journey"], on_progress=silent)


# What a person may find as the name of a new column
HOSTILE_NAMES = (
    '"; drop table ops.releases; --', "'; drop schema ops cascade; --", "%s %(x)s %", "{}{0}", "$1",
    "a.b", "select", "x" * 63, "ö" * 31, "北京", "\\", "a\\'b", "{{ 1/0 }}", "[bold]", "<script>",
    "\uff33\uff31\uff2c",
)  # fmt: skip


def test_new_columns_are_loaded_and_shown_whatever_they_are_called(
    survivor: Path,
    warehouse: ConnectionSettings,
    warehouse_admin: ConnectionSettings,
    loader: psycopg.Connection,
    opened: Callable[[ResolvedSource], int],
) -> None:
    """A name is never part of a statement, and never cut to another one's."""
    columns = minimal_dataset("castaways")
    for number, name in enumerate(HOSTILE_NAMES):
        columns[name] = ("integer", [number] * 9)
    columns["_row_number"] = columns["CTID"] = columns["Castaway"] = ("integer", [0] * 9)
    write_columns(survivor / "castaways.rda", "castaways", columns)
    release_id = opened(source := resolved(survivor))
    load_bronze(loader, release_id, source, on_progress=silent)
    publish(warehouse, release_id)
    with warehouse_admin.connect(role=schemas.READER) as reader:
        cursor = reader.execute("select * from bronze.castaways order by _row_number limit 1")
        row = cursor.fetchone()
        assert row and cursor.description
    shown = dict(zip([column.name for column in cursor.description], row, strict=True))
    assert {name: shown[name] for name in HOSTILE_NAMES} == {
        name: number for number, name in enumerate(HOSTILE_NAMES)
    }
    assert shown["_row_number"] == 1 and shown["castaway"] == "Zoë US01 1"
    assert not {"CTID", "Castaway"} & shown.keys()
    statement = """
        select column_name from ops.schema_drift
        where release_id = %s and detail like 'not loaded%%'
    """
    left_out = {name for (name,) in query(loader, statement, release_id)}
    assert left_out == {"Castaway", "CTID", "_row_number"}


def test_a_release_is_compared_with_what_readers_see(
    survivor: Path,
    warehouse: ConnectionSettings,
    loader: psycopg.Connection,
    opened: Callable[[ResolvedSource], int],
) -> None:
    """AW01 became AU11 on 2025-08-23, result_number became place in December 2024.

    The next release holds no row of the old name, and says what became of it.
    """
    first = opened(source := resolved(survivor))
    load_bronze(loader, first, source, on_progress=silent)
    publish(warehouse, first)

    for name, dataset in load_catalog().datasets.items():
        columns = minimal_dataset(name)
        if "version_season" in dataset.columns:
            r_type, seasons = columns["version_season"]
            columns["version_season"] = (r_type, [s.replace("AU01", "AU11") for s in seasons])
        if name == "challenge_description":
            columns["turn_based"] = columns.pop("rounds")
        if name == "castaways":
            columns["place"] = ("integer", columns["place"][1])
        if name == "confessionals":
            columns["index_time"] = ("logical", [None] * 9)
        write_columns(survivor / f"{name}.rda", name, columns)
    second = opened(source := resolved(survivor))
    load_bronze(loader, second, source, on_progress=silent)
    drift = query(
        loader,
        "select dataset, column_name, kind, detail from ops.schema_drift where release_id = %s",
        second,
    )
    assert {(kind, dataset) for dataset, _, kind, _ in drift if kind == "renamed_season"} == {
        ("renamed_season", name)
        for name, dataset in load_catalog().datasets.items()
        if dataset.season_column
    }
    assert {(dataset, column, kind) for dataset, column, kind, _ in drift if column} == {
        ("castaways", "place", "retyped_column"),
        ("challenge_description", "rounds", "missing_column"),
        ("challenge_description", "rounds", "renamed_column"),
        ("challenge_description", "turn_based", "new_column"),
        ("confessionals", "index_time", "emptied_column"),
    }
    details = {kind: detail for _, _, kind, detail in drift}
    assert details["renamed_season"] == "AU01 is now AU11: its castaways are the same"
    assert details["renamed_column"].startswith("looks renamed to turn_based: 100%")
    assert details["retyped_column"].startswith("double in R in the published release, integer now")
    for name, dataset in load_catalog().datasets.items():
        if dataset.season_column:
            statement = f"select distinct version_season from bronze_r{second}.{name} order by 1"
            assert query(loader, statement) == [("AU11",), ("US01",), ("US02",)]


def test_a_damaged_file_writes_nothing(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    path = survivor / "vote_history.rda"
    path.write_bytes(path.read_bytes()[:-20])
    release_id = opened(source := resolved(survivor))
    with pytest.raises(UnreadableFile, match=r"vote_history\.rda cannot be read: it is truncated"):
        load_bronze(loader, release_id, source, on_progress=silent)
    assert tables_of(loader, release_id) == set()


def test_a_load_that_is_killed_between_tables_leaves_no_table(
    survivor: Path,
    loader: psycopg.Connection,
    opened: Callable[[ResolvedSource], int],
) -> None:
    release_id = opened(source := resolved(survivor))

    def interrupt(line: str) -> None:
        if line.startswith("bronze  12/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_bronze(loader, release_id, source, on_progress=interrupt)
    assert tables_of(loader, release_id) == set()
    statement = "select status, failure from ops.ingestion_runs where release_id = %s"
    assert query(loader, statement, release_id) == [("failed", "KeyboardInterrupt: ")]


def test_a_retry_replaces_what_an_earlier_attempt_left(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    """A worker may die after its commit and before Airflow hears of it; the task runs again."""
    release_id = opened(source := resolved(survivor))
    load_bronze(loader, release_id, source, on_progress=silent)
    with loader.transaction():
        loader.execute(f"create table bronze_r{release_id}.left_over (x integer)")
    report = load_bronze(loader, release_id, source, on_progress=silent)
    assert tables_of(loader, release_id) == load_catalog().datasets.keys()
    assert report.rows == 183
    statement = "select count(*) from ops.dataset_versions where release_id = %s"
    assert query(loader, statement, release_id) == [(21,)]
    statement = "select status from ops.ingestion_runs where release_id = %s"
    assert query(loader, statement, release_id) == [("succeeded",), ("succeeded",)]


def test_a_lost_connection_raises_what_was_wrong(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    release_id = opened(source := resolved(survivor))

    def lose(line: str) -> None:
        if line.startswith("bronze   3/"):
            loader.close()

    with pytest.raises(psycopg.OperationalError, match="closed"):
        load_bronze(loader, release_id, source, on_progress=lose)


def test_a_source_that_is_gone_is_recorded(
    survivor: Path, loader: psycopg.Connection, opened: Callable[[ResolvedSource], int]
) -> None:
    release_id = opened(source := resolved(survivor))
    survivor.rename(survivor.with_name("elsewhere"))
    with pytest.raises(SourceError, match="does not exist"):
        load_bronze(loader, release_id, source, on_progress=silent)
    statement = "select status from ops.ingestion_runs where release_id = %s"
    assert query(loader, statement, release_id) == [("failed",)]


def test_memory_holds_two_datasets_at_a_time(
    survivor: Path,
    loader: psycopg.Connection,
    opened: Callable[[ResolvedSource], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One is written while the next is read, and none is read twice."""
    real, most = load.fetch, 0
    frames: list[weakref.ref[pd.DataFrame]] = []

    def watching(*arguments: Any) -> Any:
        fetched = real(*arguments)

        class Watched:
            files, unknown = fetched.files, fetched.unknown

            def read(self, dataset: str) -> Any:
                nonlocal most
                table = fetched.read(dataset)
                frames.append(weakref.ref(table.frame))
                most = max(most, sum(frame() is not None for frame in frames))
                return table

        return Watched()

    monkeypatch.setattr(load, "fetch", watching)
    load_bronze(loader, opened(source := resolved(survivor)), source, on_progress=silent)
    assert len(frames) == 21
    assert most <= 2


def test_real_files_are_copied_value_by_value(
    survivor_snapshots: Path,
    loader: psycopg.Connection,
    opened: Callable[[ResolvedSource], int],
) -> None:
    folder = survivor_snapshots / "2026-06-12"
    release_id = opened(source := resolved(folder))
    report = load_bronze(loader, release_id, source, on_progress=silent)
    assert (report.datasets, report.rows, report.drift) == (21, 190_856, [])
    assert_copied(loader, release_id, folder)

"""The live warehouse answers as a package of the same release does."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import psycopg
import pyarrow as pa
import pytest

import gamebot
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import publish_release
from include.warehouse.schemas import OWNER
from tests.client.packages import FIELD_TYPES, write_package
from tests.conftest import as_pipeline
from tests.integration.small_releases import build_release

pytestmark = pytest.mark.integration

TYPES = {
    "id": pa.int32(),
    "many": pa.int64(),
    "share": pa.float64(),
    "flag": pa.bool_(),
    "day": pa.date32(),
    "said": pa.string(),
    "order": pa.int32(),
}
# Every type that a layer has, with what CSV, Arrow or DuckDB could take for something else.
ROWS = """
    id::integer, many::bigint, share::double precision, flag::boolean, day::date, said::text,
    "order"::integer
    from (values
        (1, 9007199254740993, 0.1::float8 + 0.2::float8, true, '2000-02-29', E'two\\nlines, "quoted"', 1),
        (2, null, null, null, null, null, 2),
        (3, 0, 1e-300, false, '0001-01-01', '', 3),
        (4, -1, 'NaN', true, '1969-12-31', 'None', null),
        (5, 5, 'Infinity', false, '2026-06-12', 'Zoë; NULL', 5)
    ) as t (id, many, share, flag, day, said, "order")
"""  # noqa: E501
QUERIES = [
    "select count(*) as n, sum(id) as total, avg(share) as mean from gold.features where id < 4",
    "select flag, max(day) as last_day, count(said) as said from features group by all order by 1",
    'select id / 2 as half, id // 2 as whole, said from features order by "order" nulls last, id',
    "select * from features join silver.things on true order by id",
]


@pytest.fixture
def published(warehouse_admin: ConnectionSettings) -> ConnectionSettings:
    publish(warehouse_admin)
    return warehouse_admin


def publish(superuser: ConnectionSettings, gold: str = ROWS) -> None:
    pipeline = as_pipeline(superuser)
    with pipeline.connect(role=OWNER) as owner:
        publish_release(owner, build_release(pipeline, owner, gold))


def package_of(settings: ConnectionSettings, folder: Path) -> gamebot.Gamebot:
    """Write what the warehouse shows into a package, read row by row."""
    with settings.connect() as connection:
        features = connection.execute("select * from gold.features order by id").fetchall()
        things = connection.execute("select * from silver.things").fetchall()
    columns = zip(*features, strict=True)
    tables = {
        "gold.features": pa.table(
            {
                name: pa.array(values, kind)
                for (name, kind), values in zip(TYPES.items(), columns, strict=True)
            }
        ),
        "silver.things": pa.table({"release": pa.array([things[0][0]], pa.int32())}),
    }
    assert set(TYPES.values()) <= set(FIELD_TYPES)
    return gamebot.open(str(write_package(folder, tables)))


def test_tables_and_queries_are_equal_over_a_package_and_the_live_warehouse(
    published: ConnectionSettings, tmp_path: Path
) -> None:
    """Integers that divide to integers in one and to fractions in the other, 'None', empty text."""
    live = gamebot.open(as_pipeline(published).uri())
    package = package_of(published, tmp_path / "package")
    for table in ("gold.features", "silver.things"):
        ours, theirs = live.load_table(table), package.load_table(table)
        key = next(iter(theirs))
        pd.testing.assert_frame_equal(
            ours.sort_values(key, ignore_index=True), theirs.sort_values(key, ignore_index=True)
        )
    for sql in QUERIES:
        pd.testing.assert_frame_equal(live.query(sql), package.query(sql))
    said = live.tables().set_index("table")["rows"]
    assert said["gold.features"] == 5
    assert live.release().release_id == 1


def test_a_single_column_that_is_null_is_a_row(warehouse_admin: ConnectionSettings) -> None:
    """It is an empty line of Postgres' CSV, which readers of CSV leave out."""
    publish(warehouse_admin, "null::text as note from generate_series(1, 3)")
    live = gamebot.open(as_pipeline(warehouse_admin).uri())
    assert live.load_table("gold.features")["note"].isna().tolist() == [True, True, True]


def test_a_release_that_is_published_is_read_by_the_next_question(
    published: ConnectionSettings,
) -> None:
    """A notebook that stays open for days should not answer with what it first saw."""
    live = gamebot.open(as_pipeline(published).uri())
    assert len(live.load_table("features")) == 5
    publish(published, "7 as id, 8 as news")
    again = live.load_table("features")
    assert again.to_dict("records")[0]["news"] == 8
    assert again.attrs["release"].startswith("release 2")


def test_whatever_the_login_may_do_the_client_only_reads(
    published: ConnectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline's login owns the tables, and a notebook is no place to drop them from."""
    from gamebot.warehouse import Warehouse

    for name, value in as_pipeline(published).as_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GAMEBOT_DATA", "warehouse")
    assert len(gamebot.query("from gold.features")) == 5
    # An administrator reads as readers do; a login that may not take that role only reads, too.
    for settings, user in ((published, "gamebot_reader"), (as_pipeline(published), None)):
        with Warehouse.at(settings.uri())._connect() as connection:
            assert connection.execute("select current_user").fetchone() == (user or settings.user,)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("create temporary table mine (a integer)")


def test_a_warehouse_that_shows_nothing_or_does_not_answer_is_told_apart(
    warehouse_admin: ConnectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = as_pipeline(warehouse_admin).uri()
    closed = uri.replace(f":{warehouse_admin.port}/", ":1/")
    with pytest.raises(gamebot.Unreachable, match="refused") as raised:
        gamebot.open(closed)
    assert as_pipeline(warehouse_admin).password.get_secret_value() not in str(raised.value)
    monkeypatch.delenv("DB_HOST", raising=False)
    with pytest.raises(gamebot.NoData, match="DB_HOST"):
        gamebot.open("warehouse")

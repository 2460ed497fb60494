"""What people built on the public schemas goes on working, or stops a publication by name."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import psycopg
import pytest

from include.warehouse.connection import ConnectionSettings
from include.warehouse.history import list_events
from include.warehouse.publication import PublicationBlocked
from include.warehouse.releases import publish_release, roll_back

pytestmark = pytest.mark.integration


def test_views_that_analysts_built_survive_a_publish_that_adds_and_reorders_columns(
    owner: psycopg.Connection, warehouse_admin: ConnectionSettings, build: Callable[..., int]
) -> None:
    publish_release(owner, build("1 as answer, 2 as question"))
    with warehouse_admin.connect(autocommit=True) as analyst:
        analyst.execute("create schema if not exists analysis")
        analyst.execute("create view analysis.answers as select answer from gold.features")
        publish_release(owner, build("5 as question, 6 as more, 7 as answer"))
        assert analyst.execute("select * from analysis.answers").fetchall() == [(7,)]


def test_a_column_that_somebody_uses_cannot_vanish_unnoticed(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    warehouse_admin: ConnectionSettings,
    build: Callable[..., int],
) -> None:
    publish_release(owner, build("1 as answer, 2 as question"))
    with warehouse_admin.connect(autocommit=True) as analyst:
        analyst.execute("create schema if not exists analysis")
        analyst.execute("create view analysis.questions as select question from gold.features")
        with pytest.raises(PublicationBlocked, match=r"view analysis\.questions depends on"):
            publish_release(owner, build("1 as answer"))
        assert reader.execute("select question from gold.features").fetchall() == [(2,)]
        analyst.execute("drop view analysis.questions")
    publish_release(owner, build("1 as answer"))
    assert [column.name for column in reader.execute("table gold.features").description or ()] == [
        "answer"
    ]


def test_what_others_keep_in_a_public_schema_is_theirs(
    owner: psycopg.Connection, warehouse_admin: ConnectionSettings, build: Callable[..., int]
) -> None:
    publish_release(owner, build())
    with warehouse_admin.connect(autocommit=True) as analyst:
        analyst.execute("create view gold.my_summary as select 1 as one")
        publish_release(owner, build())
        assert analyst.execute("select one from gold.my_summary").fetchall() == [(1,)]
        analyst.execute("drop view gold.features")
        analyst.execute("create table gold.features (mine integer)")
    with pytest.raises(PublicationBlocked, match=r"gold\.features exists already"):
        publish_release(owner, build())


BUILT_BY_ANALYSTS = """
create role analyst;
create role colleague;
grant gamebot_reader to analyst;
create schema analysis authorization analyst;
grant usage on schema analysis to colleague;
set role analyst;
create view analysis.first as select question, answer from gold.features;
create view analysis.second as select answer + 1 as more, question from analysis.first;
create materialized view analysis.stored as select sum(more) as total from analysis.second;
create function analysis.parsed() returns bigint begin atomic
    select count(*) from gold.features join bronze.things on true; end;
create function analysis.looked_up() returns integer language sql
    as 'select max(answer) from gold.features';
comment on view analysis.second is 'one more than the answer';
grant select on analysis.second to colleague;
reset role
"""


def test_everything_that_analysts_build_lives_through_publish_and_rollback(
    owner: psycopg.Connection, warehouse_admin: ConnectionSettings, build: Callable[..., int]
) -> None:
    first = build("1 as answer, 2 as question")
    publish_release(owner, first)
    with warehouse_admin.connect(autocommit=True) as analyst:
        try:
            analyst.execute(BUILT_BY_ANALYSTS)
            second = build("3 as extra, 6 as question, 5 as answer")
            for show, release, answer in (
                (publish_release, second, 5),
                (roll_back, first, 1),
                (roll_back, second, 5),
            ):
                show(owner, release)  # type: ignore[operator]
                analyst.execute("refresh materialized view analysis.stored")
                analyst.execute("set role colleague")
                seen = analyst.execute("select * from analysis.second")
                assert [column.name for column in seen.description or ()] == ["more", "question"]
                assert seen.fetchall() == [(answer + 1, answer + 1)]
                analyst.execute("reset role")
                assert analyst.execute(
                    "select total, analysis.parsed(), analysis.looked_up(), "
                    "obj_description('analysis.second'::regclass) from analysis.stored"
                ).fetchall() == [(answer + 1, 1, answer, "one more than the answer")]
        finally:
            analyst.execute("reset role; drop schema analysis cascade; drop owned by analyst")
            analyst.execute("drop owned by colleague; drop role analyst; drop role colleague")


@pytest.mark.parametrize("gold", ["1 as answer", "1 as answer, 'two' as question"])
def test_everything_that_would_break_is_named(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    warehouse_admin: ConnectionSettings,
    build: Callable[..., int],
    gold: str,
) -> None:
    """A column goes, or changes its type: whoever uses it over two views is told as well."""
    first, second = build("1 as answer, 2 as question"), None
    publish_release(owner, first)
    with warehouse_admin.connect(autocommit=True) as analyst:
        analyst.execute(
            "create schema analysis;"
            "create view analysis.first as select question from gold.features;"
            "create materialized view analysis.stored as select question from analysis.first;"
            "create function analysis.parsed() returns integer begin atomic "
            "select max(question) from gold.features; end"
        )
    second = build(gold)
    with pytest.raises(PublicationBlocked) as blocked:
        publish_release(owner, second)
    for name in (
        "columns gone or retyped: question",
        "view analysis.first depends on",
        "materialized view analysis.stored depends on",
        "function analysis.parsed() depends on",
    ):
        assert name in str(blocked.value)
    assert reader.execute("select question from gold.features").fetchall() == [(2,)]


def test_whoever_was_granted_a_view_keeps_it_when_it_is_made_anew(
    owner: psycopg.Connection, warehouse_admin: ConnectionSettings, build: Callable[..., int]
) -> None:
    """A dashboard lost its access the night a column went away that it did not use."""
    publish_release(owner, build("1 as answer, 2 as question"))
    with warehouse_admin.connect(autocommit=True) as admin:
        admin.execute("create role dashboard; grant usage on schema gold to dashboard")
        try:
            admin.execute("grant select on gold.features to dashboard")
            publish_release(owner, build("7 as answer"))
            admin.execute("set role dashboard")
            assert admin.execute("select * from gold.features").fetchall() == [(7,)]
        finally:
            admin.execute("reset role; drop owned by dashboard; drop role dashboard")


def test_a_column_that_nobody_uses_does_not_stand_in_the_way(
    owner: psycopg.Connection, warehouse_admin: ConnectionSettings, build: Callable[..., int]
) -> None:
    """A rollback was blocked because the bad release had one column more, which nobody used."""
    first, second = build("1 as answer"), None
    publish_release(owner, first)
    second = build("2 as answer, numeric(4, 1) '7.5' as share, 'x'::varchar(3) as code")
    publish_release(owner, second)
    with warehouse_admin.connect(autocommit=True) as analyst:
        analyst.execute(
            "create schema analysis;"
            "create view analysis.first as select answer from gold.features;"
            "create view analysis.second as select * from analysis.first"
        )
        roll_back(owner, first)
        assert analyst.execute("select * from gold.features").fetchall() == [(1, None, None)]
        assert analyst.execute("select * from analysis.second").fetchall() == [(1,)]
        assert list_events(owner)[0].detail == (
            "null for want of data: gold.features.share, gold.features.code"
        )
        roll_back(owner, second)
        assert analyst.execute("select share, code from gold.features").fetchall() == [
            (Decimal("7.5"), "x")
        ]
        roll_back(owner, first)
        analyst.execute("drop schema analysis cascade")
        publish_release(owner, build("3 as answer"))
        assert analyst.execute("select * from gold.features").fetchall() == [(3,)]

"""What publishing and rolling back take, however large the release.

Five older releases are there, and analysts have a view of their own on everything public, so that
every view is replaced beneath another one. Each time the release is one that readers never saw,
whose tables still belong to who made them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import psycopg
from psycopg import sql

from benchmarks import growth
from benchmarks.measure import Case, Sample, Stopwatch, measured_child, stopwatch

if TYPE_CHECKING:
    from benchmarks.growth import Grown
    from benchmarks.workspace import Workspace

MOST_SECONDS = 1
ANALYSTS = "analysts"


def suite(workspace: Workspace, quick: bool) -> list[Case]:
    """Return both on the smallest and on the largest release of the growth."""
    sizes = growth.QUICK_COPIES if quick else growth.COPIES
    cases = []
    for name, title in (("publish", "publish"), ("roll_back", "roll back")):
        baseline = f"{name}_{sizes[0]}"
        cases += [
            Case(
                "publication",
                f"{name}_{copies}",
                f"{title}, {copies}{growth.TIMES} the seasons",
                partial(_on_size, workspace, copies, name),
                repetitions=5,
                quick_repetitions=3,
                baseline=None if copies == sizes[0] else baseline,
                most_seconds=MOST_SECONDS,
            )
            for copies in (sizes[0], sizes[-1])
        ]
    return cases


def _on_size(workspace: Workspace, copies: int, function: str) -> Sample:
    grown = growth.built(workspace, copies)
    show_older(grown, unseen=function == "publish")
    return measured(grown, function)


def show_older(grown: Grown, *, unseen: bool) -> None:
    """Let readers see an older release.

    Args:
        unseen: make the release itself one again that readers never saw.
    """
    from include import pipeline

    _prepare(grown)
    if _state(grown) == "building":
        pipeline.publish(grown.warehouse.pipeline, grown.release_id)
    pipeline.show_release(grown.warehouse.pipeline, grown.older[-1], "make bench")
    if unseen:
        _forget_publication(grown)


def measured(grown: Grown, function: str) -> Sample:
    """Show readers the release by a function of this module, in a process of its own."""
    return measured_child(
        f"benchmarks.publication:{function}",
        warehouse=grown.warehouse.pipeline.as_environment(),
        release_id=grown.release_id,
    )


def publish(warehouse: dict[str, str], release_id: int) -> Sample:
    """Publish as the task does."""
    from include import pipeline

    return _told_apart(lambda: pipeline.publish(_settings(warehouse), release_id))


def roll_back(warehouse: dict[str, str], release_id: int) -> Sample:
    """Roll back as the task does."""
    from include import pipeline

    return _told_apart(
        lambda: pipeline.show_release(_settings(warehouse), release_id, "make bench")
    )


def _told_apart(show: Callable[[], Any]) -> Sample:
    """Measure it, and within it the summary for the asset events, which readers do not wait for."""
    from include import pipeline

    summarise, summing_up = pipeline.release_summary, Stopwatch()

    def timed(*arguments: Any) -> Any:
        nonlocal summing_up
        with stopwatch() as summing_up:
            return summarise(*arguments)

    with patch.object(pipeline, "release_summary", timed), stopwatch() as watch:
        show()
    return watch.sample(
        **{"until readers see it": watch.wall - summing_up.wall, "summing it up": summing_up.wall}
    )


def _settings(warehouse: dict[str, str]) -> Any:
    from include.warehouse.connection import ConnectionSettings

    return ConnectionSettings.from_environment(warehouse)


def _prepare(grown: Grown) -> None:
    """Let readers see an older release, and analysts build on it; done once."""
    from include.pipeline import publish as publish_release
    from include.warehouse.schemas import LAYERS

    with grown.warehouse.superuser.connect() as connection:
        _pass(connection, grown.release_id)
        if connection.execute("select to_regnamespace(%s)", (ANALYSTS,)).fetchone() != (None,):
            return
        for older in grown.older:
            _copy_tables(connection, grown.release_id, older)
            _pass(connection, older)
    for older in grown.older:
        publish_release(grown.warehouse.pipeline, older)
    with grown.warehouse.superuser.connect() as connection:
        connection.execute(sql.SQL("create schema {}").format(sql.Identifier(ANALYSTS)))
        for layer, view in connection.execute(
            "select schemaname, viewname from pg_views where schemaname = any(%s)", (list(LAYERS),)
        ).fetchall():
            connection.execute(
                sql.SQL("create view {} as select * from {}").format(
                    sql.Identifier(ANALYSTS, f"{layer}_{view}"), sql.Identifier(layer, view)
                )
            )


def _pass(connection: psycopg.Connection, release_id: int) -> None:
    """Let the release have passed its audits: copies break what is true of the real seasons."""
    from include.warehouse.releases import AUDITS

    connection.execute("delete from ops.check_results where release_id = %s", (release_id,))
    for layer, tools in AUDITS.items():
        for tool in tools:
            connection.execute(
                "insert into ops.check_results (release_id, tool, check_id, layer, table_name, "
                "description, severity, outcome, observed) "
                "values (%s, %s, %s, %s, 'all', 'for the benchmark', 'blocking', 'passed', '{}')",
                (release_id, tool, layer, layer),
            )


def _copy_tables(connection: psycopg.Connection, release_id: int, older: int) -> None:
    """Give an older release the same tables, without rows."""
    from include.warehouse.schemas import SCHEMA_OWNERS, release_schema

    for layer, owner in SCHEMA_OWNERS.items():
        schema, other = release_schema(layer, release_id), release_schema(layer, older)
        for name in _relations(connection, schema):
            connection.execute(
                sql.SQL("create table {} (like {} including all)").format(
                    sql.Identifier(other, name), sql.Identifier(schema, name)
                )
            )
            connection.execute(
                sql.SQL("alter table {} owner to {}").format(
                    sql.Identifier(other, name), sql.Identifier(owner)
                )
            )


def _state(grown: Grown) -> str:
    with grown.warehouse.superuser.connect() as connection:
        ((state,),) = connection.execute(
            "select state from ops.releases where release_id = %s", (grown.release_id,)
        ).fetchall()
    return str(state)


def _forget_publication(grown: Grown) -> None:
    """Make the release one again that readers never saw, and its tables those of who made them."""
    from include.warehouse.schemas import SCHEMA_OWNERS, release_schema

    with grown.warehouse.superuser.connect() as connection:
        connection.execute(
            "update ops.releases set state = 'building', published_at = null, audited_at = null, "
            "closed_at = null where release_id = %s",
            (grown.release_id,),
        )
        for layer, owner in SCHEMA_OWNERS.items():
            schema = release_schema(layer, grown.release_id)
            connection.execute(
                sql.SQL("alter schema {} owner to {}").format(
                    sql.Identifier(schema), sql.Identifier(owner)
                )
            )
            for name in _relations(connection, schema):
                connection.execute(
                    sql.SQL("alter table {} owner to {}").format(
                        sql.Identifier(schema, name), sql.Identifier(owner)
                    )
                )


def _relations(connection: psycopg.Connection, schema: str) -> list[str]:
    found = connection.execute(
        "select relname from pg_class where relnamespace = %s::regnamespace "
        "and relkind in ('r', 'v')",
        (schema,),
    ).fetchall()
    return [name for (name,) in found]

"""Lineage names what is in the warehouse, and keeps its names from release to release."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from include.ingestion.sources import SourceRequest, resolve_source
from include.lineage import of_bronze, of_checks, of_model, of_publication
from include.pipeline import load_bronze, open_release
from include.warehouse.connection import ConnectionSettings
from tests.survivor_files import write_minimal_survivor

pytestmark = pytest.mark.integration


def test_two_releases_are_versions_of_the_same_datasets(
    warehouse: ConnectionSettings, owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    """A graph with new nodes every night cannot be read, and nothing in it has a history."""
    told = []
    for release_id in (build(), build()):
        owner.commit()
        lineage = of_publication(warehouse, release_id, ["bronze", "silver", "gold"])
        told.append({dataset.name for dataset in (*lineage.inputs, *lineage.outputs)})
        table = next(each for each in lineage.inputs if ".silver_rN." in each.name)
        assert table.namespace == f"postgres://{warehouse.host}:{warehouse.port}"
        assert table.real_name == f"{warehouse.dbname}.silver_r{release_id}.things"
        assert table.version == str(release_id)
        view = next(each for each in lineage.outputs if ".silver." in each.name)
        assert view.copied_from == table
        assert view.columns == {"release": "integer"}
    assert told[0] == told[1]


def test_a_layer_that_was_not_published_is_not_told(
    warehouse: ConnectionSettings, build: Callable[..., int], owner: psycopg.Connection
) -> None:
    release_id = build()
    owner.commit()
    views = of_publication(warehouse, release_id, ["bronze"]).outputs
    assert [view.name for view in views] == [f"{warehouse.dbname}.bronze.things"]


def test_an_audit_tells_the_tables_that_it_checked(
    warehouse: ConnectionSettings, build: Callable[..., int], owner: psycopg.Connection
) -> None:
    release_id = build()
    owner.commit()
    checked = of_checks(warehouse, release_id, "soda").inputs
    assert {table.name.split(".", 1)[1]: len(table.checks) for table in checked} == {
        "bronze_rN.things": 1,
        "silver_rN.things": 1,
    }


def test_each_bronze_table_is_a_copy_of_one_file(
    warehouse: ConnectionSettings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    folder = write_minimal_survivor(tmp_path / "minimal")
    source = resolve_source(SourceRequest(source="directory", directory=str(folder)))
    release_id = open_release(warehouse, source, "bronze", triggered_by="a test")
    load_bronze(warehouse, release_id, source, on_progress=print)
    tables = of_bronze(warehouse, release_id, source).outputs
    castaways = next(table for table in tables if table.name.endswith(".castaways"))
    assert castaways.copied_from is not None
    assert castaways.copied_from.name == f"{folder.resolve()}/castaways.rda"
    assert castaways.copied_from.version == source.commit
    assert castaways.rows == 9
    assert castaways.columns["castaway_id"] == "text"


def test_a_model_is_not_made_from_a_table_that_the_release_lacks(
    warehouse: ConnectionSettings, build: Callable[..., int], owner: psycopg.Connection
) -> None:
    """The snapshot offers no tribe_colours, which models do without: lineage led to nowhere."""
    release_id = build()
    owner.commit()
    read = [f"bronze_r{release_id}.things", f"bronze_r{release_id}.tribe_colours"]
    lineage = of_model(warehouse, release_id, read, f"silver_r{release_id}.things", rows=1)
    assert [table.name for table in lineage.inputs] == [f"{warehouse.dbname}.bronze_rN.things"]
    (table,) = lineage.outputs
    assert (table.name, table.rows) == (f"{warehouse.dbname}.silver_rN.things", 1)
    # What dbt could not build is not there.
    assert of_model(warehouse, release_id, read, writes=None, rows=None).outputs == []

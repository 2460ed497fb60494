"""A release of three small tables with every value that is easily lost on the way into a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import psycopg

from include.data_package.build import Package, Progress, build_package
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import fail_release, mark_built
from include.warehouse.schemas import LOADER, TRANSFORMER
from tests.integration.small_releases import start

TABLES = """
create table bronze_r{release}.castaway_details (
    castaway_id text, full_name text, date_of_birth date, height double precision,
    lgbt boolean, "order" integer, nothing text, _row_number integer, _release_id integer
);
insert into bronze_r{release}.castaway_details values
    ('US0002', 'Sue "the Snake", Hawk', '1961-08-17', 1.7, true, 2, null, 1, {release}),
    ('US0001', '', null, 'NaN', null, 1, null, 2, {release}),
    ('ZA0003', E'two\\nlines, é, 東', '0987-01-01', '-0'::float, false, null, null, 3, {release}),
    ('us0004', 'None', '2001-12-31', 'Infinity', false, -2147483648, null, 4, {release}),
    ('US0005', 'a third', '1970-01-01', 0.1, false, 0, null, 5, {release});
create table bronze_r{release}.journeys (
    version_season text, sog_id integer, castaway_id text, _row_number integer, _release_id integer
);
"""
MODELS = """
create table silver_r{release}.remarks (remark text);
insert into silver_r{release}.remarks values (null), ('x'), (null);
create table silver_r{release}.season_context (
    season_context_key text, version_season text primary key, winner text
);
insert into silver_r{release}.season_context values ('k1', 'US01', 'Rich'), ('k2', 'US02', 'Tina');
create table silver_r{release}.castaway_profile (
    version_season text, castaway_id text, place integer, primary key (version_season, castaway_id)
);
insert into silver_r{release}.castaway_profile values
    ('US02', 'US0001', 1), ('US01', 'US0002', 4), ('US01', 'US0001', 16);
create table gold_r{release}.ml_features_as_of (
    version_season text, sog_id integer, castaway_id text, target_winner integer,
    primary key (version_season, sog_id, castaway_id)
);
insert into gold_r{release}.ml_features_as_of
select 'US01', sog_id, 'US0002', 0 from generate_series(1, {rows}) as sog_id;
create view gold_r{release}.as_of_merge as
select * from gold_r{release}.ml_features_as_of where sog_id <= 2;
"""


def manifest() -> dict[str, Any]:
    """Return what of dbt's the package reads, for the models above."""
    models: dict[str, dict[str, Any]] = {
        "season_context": {
            "description": "One row per season.\n\nKey:\nversion_season.",
            "columns": {"winner": {"description": 'Who won; it\'s "known" afterwards.'}},
        },
        "castaway_profile": {"description": "One row per castaway-season | and no more."},
        "ml_features_as_of": {"description": "One row per castaway and stage."},
        "as_of_merge": {
            "description": "The stages before the merge.",
            "depends_on": {"nodes": ["model.survivor.ml_features_as_of"]},
        },
    }
    nodes: dict[str, Any] = {
        f"model.survivor.{name}": {"name": name, "resource_type": "model", **model}
        for name, model in models.items()
    }
    for name, model, arguments in (
        ("unique", "season_context", {"column_name": "season_context_key"}),
        # Declared, and not so: a key that does not hold must not be promised.
        ("unique", "castaway_profile", {"column_name": "castaway_id"}),
        (
            "relationships",
            "castaway_profile",
            {
                "column_name": "version_season",
                "to": "ref('season_context')",
                "field": "version_season",
            },
        ),
    ):
        nodes[f"test.{name}.{model}"] = {
            "resource_type": "test",
            "attached_node": f"model.survivor.{model}",
            "test_metadata": {"name": name, "kwargs": arguments},
            "config": {"severity": "ERROR"},
        }
    return {"nodes": nodes}


def small_release(warehouse: ConnectionSettings, owner: psycopg.Connection, rows: int = 3) -> int:
    """Build the release. Returns its number."""
    release = start(owner)
    with warehouse.connect(role=LOADER) as loader:
        loader.execute(TABLES.format(release=release))  # type: ignore[arg-type]
    with warehouse.connect(role=TRANSFORMER) as transformer:
        transformer.execute(MODELS.format(release=release, rows=rows))  # type: ignore[arg-type]
    return release


def finished_release(warehouse: ConnectionSettings, owner: psycopg.Connection) -> int:
    """Build the release, whole but for an audit that it fails. Returns its number."""
    release = small_release(warehouse, owner)
    finish(owner, release)
    return release


def finish(owner: psycopg.Connection, release: int) -> None:
    """End the run of a release that fails an audit."""
    mark_built(owner, release)
    fail_release(owner, release, "a test")


def build(warehouse: ConnectionSettings, release: int, folder: Path, **options: Any) -> Package:
    """Build its package in a new folder."""
    folder.mkdir(parents=True)
    return build_package(
        warehouse, release, folder, manifest=manifest(), changes="# None\n", **options
    )


def export_until_killed(arguments: list[str]) -> None:
    """Export over an earlier package, in a process of its own that is killed in the middle."""
    import os
    import signal

    from include.data_package.build import new_folder

    def kill(progress: Progress) -> None:
        if progress.done == progress.total - 2:
            os.kill(os.getpid(), signal.SIGKILL)

    settings, release, target = json.loads(arguments[0]), int(arguments[1]), Path(arguments[2])
    with new_folder(target) as folder:
        build_package(
            ConnectionSettings.model_validate(settings),
            release,
            folder,
            manifest=manifest(),
            changes="",
            on_progress=kill,
        )


if __name__ == "__main__":
    export_until_killed(sys.argv[1:])

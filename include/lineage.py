"""What each task read and wrote, for whoever listens to OpenLineage.

Airflow's provider for OpenLineage sends an event when a task starts and one when it ends. The
second tells the datasets that the task carries by then, and `report` hands them to it. Where the
provider is not installed or has no transport, nothing is looked up and nothing is imported.

A release builds `silver_r42.castaway_profile`; the next one builds another table. A graph with a
new node for each would be unreadable, so the table is called `silver_rN.castaway_profile` in every
release, which one is its version, and its real name is a symlink. What readers see,
`silver.castaway_profile`, is another dataset: a release that fails its audits never becomes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import class_row

from include.warehouse.checks import CheckResult, Tool
from include.warehouse.connection import ConnectionSettings
from include.warehouse.publication import relations
from include.warehouse.schemas import OWNER, Layer, release_schema

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Dataset as OpenLineageDataset
    from openlineage.client.facet_v2 import DatasetFacet

    from include.ingestion.sources import ResolvedSource

log = logging.getLogger(__name__)

Columns = Mapping[str, str]


@dataclass(frozen=True)
class Dataset:
    """A file, table or view, named as OpenLineage's naming conventions say."""

    namespace: str
    name: str
    version: str | None = None
    real_name: str | None = None
    """Its name in this version, where that is another."""
    columns: Columns = field(default_factory=dict)
    """With their types."""
    rows: int | None = None
    copied_from: Dataset | None = None
    """What each of its columns is a copy of, but for those that the pipeline adds."""
    checks: tuple[CheckResult, ...] = ()


@dataclass(frozen=True)
class Lineage:
    """What a task read and wrote."""

    inputs: Sequence[Dataset] = ()
    outputs: Sequence[Dataset] = ()


def report(ti: Any, describe: Callable[[], Lineage]) -> None:
    """Let the event that ends this task tell its datasets; never let it fail.

    Args:
        ti: the running task instance.
        describe: asked only where somebody listens.
    """
    try:
        if not _is_listened_to():
            return
        lineage = describe()
        # The provider takes its own datasets from among a task's inlets and outlets.
        ti.task.inlets = [*ti.task.inlets, *_inputs(lineage.inputs)]
        ti.task.outlets = [*ti.task.outlets, *_outputs(lineage.outputs)]
    except Exception:
        log.exception("What this task read and wrote could not be told to OpenLineage")


def _is_listened_to() -> bool:
    try:
        from airflow.providers.openlineage import conf
    except ImportError:
        return False
    return not conf.is_disabled()


def of_bronze(settings: ConnectionSettings, release_id: int, source: ResolvedSource) -> Lineage:
    """Each file of the source, and the table that holds a copy of it."""
    with settings.connect(role=OWNER) as connection:
        loaded = connection.execute(
            "select dataset, file_name, sha256, rows from ops.dataset_versions "
            "where release_id = %s order by dataset",
            (release_id,),
        ).fetchall()
        warehouse = _Warehouse(settings, connection, release_id)
        files, tables = [], []
        for dataset, file_name, sha256, rows in loaded:
            file = source_file(source, file_name, sha256)
            table = warehouse.table(release_schema("bronze", release_id), dataset)
            # The snapshot was rewritten: its columns are not those of bronze.
            copied_from = None if source.kind == "snapshot" else file
            files.append(file)
            tables.append(replace(table, rows=rows, copied_from=copied_from))
    # The snapshot has all its datasets in one file.
    return Lineage(inputs=list({file.name: file for file in files}.values()), outputs=tables)


def source_file(source: ResolvedSource, file_name: str, sha256: str) -> Dataset:
    """Name a file of upstream. A mirror is not named: it has the files of the repository."""
    from include.ingestion.sources.snapshot import PACKAGE
    from include.ingestion.sources.upstream import FOLDER, REPOSITORY

    version = source.commit or sha256
    if source.kind == "upstream":
        return Dataset("https://github.com", f"{REPOSITORY}/{FOLDER}/{file_name}", version)
    if source.kind == "snapshot":
        return Dataset("pypi", f"{PACKAGE}/{file_name}", source.version)
    return Dataset("file", str(PurePosixPath(source.location, file_name)), version)


def of_model(
    settings: ConnectionSettings,
    release_id: int,
    reads: Iterable[str],
    writes: str | None,
    rows: int | None,
) -> Lineage:
    """What one model or seed was made from, and its table unless dbt could not build it."""
    with settings.connect(role=OWNER) as connection:
        warehouse = _Warehouse(settings, connection, release_id)
        inputs = [warehouse.table(*name.split(".", 1)) for name in reads]
        outputs = [replace(warehouse.table(*writes.split(".", 1)), rows=rows)] if writes else []
    # A model does without a dataset that the release's source does not offer.
    return Lineage([table for table in inputs if table.columns], outputs)


def of_checks(settings: ConnectionSettings, release_id: int, tool: Tool) -> Lineage:
    """Every table that a tool checked, with what each check found."""
    with settings.connect(role=OWNER) as connection:
        warehouse = _Warehouse(settings, connection, release_id)
        found = connection.cursor(row_factory=class_row(CheckResult)).execute(
            """
            select
                tool, check_id, layer, table_name, column_name, description, severity, outcome,
                observed
            from ops.check_results
            where release_id = %s and tool = %s
            order by layer, table_name, check_id
            """,
            (release_id, tool),
        )
        inputs = [
            replace(warehouse.table(release_schema(layer, release_id), name), checks=tuple(checks))
            for (layer, name), checks in groupby(
                found.fetchall(), key=lambda check: (check.layer, check.table_name)
            )
        ]
    return Lineage(inputs)


def of_publication(
    settings: ConnectionSettings, release_id: int, layers: Iterable[Layer]
) -> Lineage:
    """The tables of a release, and the views that show them to readers."""
    with settings.connect(role=OWNER) as connection:
        warehouse = _Warehouse(settings, connection, release_id)
        tables = {
            (layer, name): warehouse.table(release_schema(layer, release_id), name)
            for layer in layers
            for name in warehouse.tables(release_schema(layer, release_id))
        }
        views = [
            replace(warehouse.view(layer, name), columns=table.columns, copied_from=table)
            for (layer, name), table in tables.items()
        ]
    return Lineage(list(tables.values()), views)


class _Warehouse:
    """Names and describes the tables of one release."""

    def __init__(
        self, settings: ConnectionSettings, connection: psycopg.Connection, release_id: int
    ) -> None:
        self._namespace = f"postgres://{settings.host}:{settings.port}"
        self._database = settings.dbname
        self._connection = connection
        self._release_id = release_id
        self._schemas: dict[str, dict[str, dict[str, str]]] = {}

    def tables(self, schema: str) -> Mapping[str, Columns]:
        """Return the tables and views of a schema with their columns."""
        if schema not in self._schemas:
            self._schemas[schema] = relations(self._connection, schema)
        return self._schemas[schema]

    def table(self, schema: str, name: str) -> Dataset:
        """Describe a table of the release."""
        lasting_schema = f"{schema.removesuffix(f'_r{self._release_id}')}_rN"
        return Dataset(
            self._namespace,
            f"{self._database}.{lasting_schema}.{name}",
            version=str(self._release_id),
            real_name=f"{self._database}.{schema}.{name}",
            columns=self.tables(schema).get(name, {}),
        )

    def view(self, layer: Layer, name: str) -> Dataset:
        """Describe what readers see of a table."""
        return Dataset(
            self._namespace, f"{self._database}.{layer}.{name}", version=str(self._release_id)
        )


def _inputs(datasets: Iterable[Dataset]) -> list[OpenLineageDataset]:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as assertions

    return [
        InputDataset(
            dataset.namespace,
            dataset.name,
            facets=_facets(dataset),
            inputFacets={
                "dataQualityAssertions": assertions.DataQualityAssertionsDatasetFacet(
                    [
                        assertions.Assertion(**_assertion(check), params={"tool": check.tool})
                        for check in dataset.checks
                    ]
                )
            }
            if dataset.checks
            else {},
        )
        for dataset in datasets
    ]


def _assertion(check: CheckResult) -> dict[str, Any]:
    # Without its message and its sample, which show rows.
    value = check.observed.get("value", check.observed.get("failures"))
    return {
        "assertion": check.observed.get("expectation") or "custom",
        "name": check.check_id,
        "description": check.description,
        "success": check.outcome == "passed",
        "column": check.column_name,
        "severity": "error" if check.severity == "blocking" else "warn",
        "actual": None if value is None else str(value),
    }


def _outputs(datasets: Iterable[Dataset]) -> list[OpenLineageDataset]:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    return [
        OutputDataset(
            dataset.namespace,
            dataset.name,
            # Whoever reads it later need not repeat its columns.
            facets={**_facets(dataset), **_columns(dataset)},
            outputFacets={}
            if dataset.rows is None
            else {
                "outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(
                    rowCount=dataset.rows
                )
            },
        )
        for dataset in datasets
    ]


def _facets(dataset: Dataset) -> dict[str, DatasetFacet]:
    from openlineage.client.facet_v2 import dataset_version_dataset, symlinks_dataset

    facets: dict[str, DatasetFacet] = {}
    if dataset.version:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version)
    if dataset.real_name:
        facets["symlinks"] = symlinks_dataset.SymlinksDatasetFacet(
            [symlinks_dataset.Identifier(dataset.namespace, dataset.real_name, "TABLE")]
        )
    return facets


def _columns(dataset: Dataset) -> dict[str, DatasetFacet]:
    from openlineage.client.facet_v2 import column_lineage_dataset, schema_dataset

    facets: dict[str, DatasetFacet] = {}
    if dataset.columns:
        facets["schema"] = schema_dataset.SchemaDatasetFacet(
            [
                schema_dataset.SchemaDatasetFacetFields(name, kind)
                for name, kind in dataset.columns.items()
            ]
        )
    # A task that copies many tables would else have made each from all.
    if source := dataset.copied_from:
        copied = column_lineage_dataset.Transformation(type="DIRECT", subtype="IDENTITY")
        facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(
            {
                name: column_lineage_dataset.Fields(
                    [
                        column_lineage_dataset.InputField(
                            source.namespace, source.name, name, transformations=[copied]
                        )
                    ]
                )
                for name in dataset.columns
                if name in source.columns or not name.startswith("_")
            }
        )
    return facets

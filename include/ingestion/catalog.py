"""The catalogue of datasets (`datasets.yml`) as checked objects."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from include.warehouse.schemas import SourceKind

CATALOG_FILE = Path(__file__).with_name("datasets.yml")

ColumnType = Literal["text", "integer", "double", "boolean", "date"]
Columns = Literal["all"] | list[str]
Share = Annotated[float, Field(ge=0, le=1)]

# PostgreSQL's types of the bronze tables.
POSTGRES_TYPES: dict[ColumnType, str] = {
    "text": "text",
    "integer": "integer",
    "double": "double precision",
    "boolean": "boolean",
    "date": "date",
}


class CatalogError(ValueError):
    """The catalogue is wrong; the message names dataset and column."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Strict):
    """Type and meaning of one column."""

    type: ColumnType
    description: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_type_alone(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value


class Dataset(_Strict):
    """What one dataset must look like, and how far a new version of it may differ.

    Attributes:
        key: columns that tell rows apart; empty when upstream's rows are not unique.
        key_nullable: key columns in which null is a value of its own.
        near_key: where there is no key, columns that nearly tell rows apart.
        required: whether its absence stops a run.
        optional: columns whose absence is recorded only; "all" means all but the key.
        max_row_fall: largest share of rows that may vanish against the published release.
        season_column: column whose distinct values are the seasons covered.
        max_season_fall: largest share of these that may vanish against the published release.
        season_coverage: smallest share of all the source's seasons that must occur.
        unavailable_in: per source kind the columns, or "all" for the dataset, it cannot give.
        columns: in upstream's order.
    """

    description: str
    key: list[str]
    key_nullable: list[str] = []
    near_key: list[str] = []
    required: bool = True
    optional: Columns = []
    max_row_fall: Share = 0.01
    season_column: str | None = "version_season"
    max_season_fall: Share = 0
    season_coverage: Share = 0
    unavailable_in: dict[SourceKind, Columns] = {}
    columns: Annotated[dict[str, Column], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_its_own_columns(self) -> Dataset:
        references: dict[str, Columns] = {
            "key": self.key,
            "near_key": self.near_key,
            "optional": self.optional,
            "season_column": [self.season_column] if self.season_column else [],
            **{f"unavailable_in.{kind}": names for kind, names in self.unavailable_in.items()},
        }
        for setting, names in references.items():
            for name in names if names != "all" else ():
                if name not in self.columns:
                    raise ValueError(f"{setting} names column {name!r}, which is not among columns")
        for name in self.key_nullable:
            if name not in self.key:
                raise ValueError(f"key_nullable names column {name!r}, which is not part of key")
        return self

    def is_optional(self, column: str) -> bool:
        """Tell whether a source may lack the column."""
        return column not in self.key if self.optional == "all" else column in self.optional

    def is_available(self, kind: SourceKind, column: str | None = None) -> bool:
        """Tell whether a source of this kind can give the column, or the dataset when None."""
        unavailable = self.unavailable_in.get(kind, [])
        return unavailable != "all" and column not in unavailable


class Catalog(_Strict):
    """All datasets by name, and what became of those that upstream gave up."""

    shared_descriptions: dict[str, str] = {}
    retired: dict[str, str] = {}
    datasets: Annotated[dict[str, Dataset], Field(min_length=1)]

    @model_validator(mode="after")
    def _retired_are_no_datasets(self) -> Catalog:
        if both := self.retired.keys() & self.datasets.keys():
            raise ValueError(f"{min(both)!r} is retired and among datasets")
        return self

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Refuse what is no dataset.

        Raises:
            ValueError: names it.
        """
        if unknown := sorted(set(names) - self.datasets.keys()):
            raise ValueError(f"accept_falls names unknown datasets: {', '.join(unknown)}.")

    def description_of(self, dataset: str, column: str) -> str | None:
        """Return what a column means, from the dataset or else from the shared descriptions."""
        own = self.datasets[dataset].columns[column].description
        return own or self.shared_descriptions.get(column)


class _NoDuplicates(yaml.CSafeLoader):
    """YAML silently keeps the last of two equal keys; a catalogue must not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} occurs twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


@cache
def load_catalog(path: Path = CATALOG_FILE) -> Catalog:
    """Read and check the catalogue.

    Raises:
        CatalogError: names the dataset and column, or the line, that is wrong.
    """
    try:
        # A SafeLoader, only stricter.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_NoDuplicates)  # noqa: S506
        return Catalog.model_validate(content)
    except yaml.YAMLError as error:
        raise CatalogError(f"{path.name} is not valid YAML: {error}") from error
    except ValidationError as error:
        problems = (
            f"  {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise CatalogError("\n".join([f"{path.name} is wrong:", *problems])) from error

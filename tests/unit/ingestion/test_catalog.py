"""The catalogue is complete and says clearly what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.ingestion.catalog import CatalogError, load_catalog
from include.ingestion.reader import read_table

GOOD = """
datasets:
  castaways:
    description: One row per castaway and season.
    key: [version_season]
    columns:
      version_season: text
      age: {type: integer, description: Age in that season}
"""


def written(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "datasets.yml"
    path.write_text(content, encoding="utf-8")
    return path


def test_the_catalogue_has_every_dataset_and_a_description_of_each() -> None:
    catalog = load_catalog()
    assert len(catalog.datasets) == 21
    assert sum(len(dataset.columns) for dataset in catalog.datasets.values()) == 388
    assert all(dataset.description for dataset in catalog.datasets.values())


def test_a_column_is_described_by_its_dataset_or_by_the_shared_descriptions() -> None:
    catalog = load_catalog()
    assert catalog.description_of("castaways", "age") == "Age in that season"
    assert "US47" in (catalog.description_of("castaways", "version_season") or "")
    assert catalog.description_of("castaways", "city") is None


def test_keys_are_unique_in_the_real_files(survivor_snapshots: Path) -> None:
    for name, dataset in load_catalog().datasets.items():
        if dataset.key:
            frame = read_table(survivor_snapshots / "2026-06-12" / f"{name}.rda").frame
            assert not frame.duplicated(dataset.key).any(), name
            never_null = [label for label in dataset.key if label not in dataset.key_nullable]
            assert frame[never_null].notna().all(axis=None), name


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("age: {type: integer", "age: {type: number"), r"castaways\.columns\.age\.type"),
        (("age: {type: integer", "age: {typ: integer"), r"castaways\.columns\.age\.typ: Extra"),
        (("key:", "keys:"), r"castaways\.keys: Extra"),
        (("key: [version_season]", "key: [season]"), r"castaways: .*key names column 'season'"),
        (("key:", "optional: [ages]\n    key:"), r"optional names column 'ages'"),
        (("key:", "key_nullable: [age]\n    key:"), r"key_nullable names column 'age'"),
        (("key:", "unavailable_in: {snapshot: [x]}\n    key:"), r"unavailable_in.snapshot names"),
        (("key:", "unavailable_in: {cran: all}\n    key:"), r"unavailable_in\.cran"),
        (("key:", "max_row_fall: 1.5\n    key:"), r"max_row_fall"),
        (("key:", "season_column: season\n    key:"), r"season_column names column 'season'"),
        (("age:", "version_season:"), r"'version_season' occurs twice"),
        (("datasets:", "datasets: ["), "not valid YAML"),
    ],
)
def test_an_error_names_the_dataset_and_the_column(
    tmp_path: Path, change: tuple[str, str], problem: str
) -> None:
    assert load_catalog(written(tmp_path, GOOD)).datasets.keys() == {"castaways"}
    broken = tmp_path / "broken"
    broken.mkdir()
    with pytest.raises(CatalogError, match=problem):
        load_catalog(written(broken, GOOD.replace(*change, 1)))


def test_optional_and_unavailable_columns() -> None:
    datasets = load_catalog().datasets
    assert datasets["castaway_scores"].is_optional("score_overall")
    assert not datasets["castaway_scores"].is_optional("castaway_id")
    assert datasets["confessionals"].is_optional("index_time")
    assert not datasets["confessionals"].is_optional("confessional_count")
    assert not datasets["tribe_colours"].is_available("snapshot")
    assert datasets["tribe_colours"].is_available("upstream")
    assert not datasets["confessionals"].is_available("snapshot", "index_time")
    assert datasets["confessionals"].is_available("snapshot", "exp_time")
    assert datasets["confessionals"].is_available("snapshot")

"""Every mistake that this warehouse was built to end, made again, turns tests red by name.

The list is defects.yml. `make mutants` prints it with what caught each defect.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console
from rich.table import Column, Table

from include.warehouse.connection import ConnectionSettings
from tests.conftest import as_pipeline
from tests.integration.mutations.bench import Bench
from tests.integration.mutations.defects import Defect, load_defects
from tests.integration.survivor_releases import run_dbt, show
from tests.integration.survivor_world import open_world, transform_world

pytestmark = pytest.mark.slow

DEFECTS = load_defects()


@pytest.fixture(scope="module")
def bench(
    request: pytest.FixtureRequest,
    create_warehouse: Callable[[], ConnectionSettings],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bench]:
    """A bench on survivoR's data; where they are not, on a made-up show, for the unit tests."""
    folder = tmp_path_factory.mktemp("mutants")
    try:
        warehouse: ConnectionSettings = request.getfixturevalue("survivor_warehouse")
        has_survivor, release_id = True, 1
    except pytest.skip.Exception:
        warehouse = create_warehouse()
        has_survivor, release_id = False, open_world(as_pipeline(warehouse))
        transform_world(as_pipeline(warehouse), release_id, folder / "release")
        show(as_pipeline(warehouse), release_id)
    run_dbt(as_pipeline(warehouse), release_id, folder / "release", "--quiet", "parse")
    bench = Bench(warehouse, folder / "release" / "target", folder, has_survivor=has_survivor)
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    """What caught each defect; printed at the end, for `make mutants`."""
    table = Table("id", "defect", "planted in", Column("caught by", overflow="fold"), "s")
    yield table
    Console(width=200).print("\n", table)


def test_all_known_defects_are_listed() -> None:
    assert [defect.id for defect in DEFECTS] == [f"B{number:02}" for number in range(1, 36)]


def test_the_tests_that_are_to_notice_exist_and_pass_without_a_defect(bench: Bench) -> None:
    """A test that is always red, or that was renamed, notices nothing."""
    named = {name for defect in DEFECTS for name in defect.caught_by if "::" not in name}
    assert named - bench.models - bench.data_tests - bench.unit_tests == set()
    assert bench.red(sorted(bench.can_fail(named - bench.models))) == set()


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.id)
def test_a_known_defect_turns_its_tests_red(defect: Defect, bench: Bench, table: Table) -> None:
    expected = bench.can_fail(defect.caught_by)
    if not expected:
        pytest.skip("only survivoR's data show it")
    started = time.monotonic()
    failed = bench.failures(defect)
    caught_by = "\n".join(name for name in expected if name in failed)
    table.add_row(
        defect.id,
        defect.defect,
        defect.files,
        caught_by or "[red]nothing: it survives",
        f"{time.monotonic() - started:.1f}",
    )
    assert failed.issuperset(expected)

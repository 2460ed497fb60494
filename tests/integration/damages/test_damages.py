"""The audit is audited: what happens to good data in life is seen, by name, and good data is not.

The list is damages.yml. `make damages` prints it with what caught each damage.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console
from rich.table import Column, Table

from include.environments import MissingEnvironment, executable
from include.warehouse.connection import ConnectionSettings
from tests.conftest import as_pipeline
from tests.integration.damages.bench import Bench, Finding
from tests.integration.damages.damages import CopyName, Damage, load_damages
from tests.integration.survivor_releases import show
from tests.integration.survivor_world import open_world, transform_world

pytestmark = pytest.mark.slow

DAMAGES = load_damages()
# Each damage on a copy of its own: many minutes.
ONE_BY_ONE = bool(os.environ.get("ONE_BY_ONE"))

Findings = dict[str, Finding]


@pytest.fixture(scope="module")
def bench(
    request: pytest.FixtureRequest,
    create_warehouse: Callable[[], ConnectionSettings],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bench:
    """A bench on survivoR's data or, where they are not, on a made-up show."""
    try:
        executable("quality")
        executable("dbt")
    except MissingEnvironment as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("damages")
    try:
        warehouse: ConnectionSettings = request.getfixturevalue("survivor_warehouse")
        return Bench(warehouse, folder, has_survivor=True)
    except pytest.skip.Exception:
        warehouse = create_warehouse()
        pipeline = as_pipeline(warehouse)
        release_id = open_world(pipeline)
        transform_world(pipeline, release_id, folder)
        show(pipeline, release_id)
        return Bench(warehouse, folder, has_survivor=False)


@pytest.fixture(scope="module")
def undamaged(bench: Bench) -> Findings:
    """What the checks say of the release as it is."""
    with bench.copy() as copy:
        return copy.findings()


@pytest.fixture(scope="module")
def findings_of(bench: Bench) -> Callable[[Damage], Findings]:
    """Tells what the checks say of the copy that holds a damage, among others or alone."""
    known: dict[CopyName, Findings] = {}

    def find(damage: Damage) -> Findings:
        if ONE_BY_ONE:
            return examine([damage], set(damage.caught_by))
        if damage.copy_name not in known:
            together = [
                other
                for other in DAMAGES
                if other.copy_name == damage.copy_name
                and (bench.has_survivor or not other.survivor)
            ]
            known[damage.copy_name] = examine(together, None)
        return known[damage.copy_name]

    def examine(damages: list[Damage], names: set[str] | None) -> Findings:
        built = damages[0].copy_name == "built"
        with bench.copy() as copy:
            copy.damage(
                [statement for damage in damages for statement in damage.damage],
                in_built_tables=not built,
            )
            if built:
                copy.build(names)
            findings = copy.findings(names)
            if names is None:
                assert copy.refusal() is not None
            return findings

    return find


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    """What caught each damage; printed at the end, for `make damages`."""
    table = Table("damage", Column("caught by", overflow="fold"), "outcome")
    yield table
    Console(width=180).print("\n", table)


def test_the_list_has_forty_damages_each_with_a_name_of_its_own() -> None:
    names = [damage.name for damage in DAMAGES]
    assert len(names) >= 40
    assert len(names) == len(set(names))


def test_no_check_fails_on_good_data(bench: Bench, undamaged: Findings) -> None:
    """Not one on survivoR's; of those named here, not one on the made-up show, which is plain."""
    named = {name for damage in DAMAGES if not damage.survivor for name in damage.caught_by}
    alarms = {n: found for n, found in undamaged.items() if bench.has_survivor or n in named}
    assert alarms == {}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name.replace(" ", "_"))
def test_a_damage_is_caught_by_name(
    damage: Damage, bench: Bench, findings_of: Callable[[Damage], Findings], table: Table
) -> None:
    """The checks that are to see it do, name what was damaged, and block the release."""
    if damage.survivor and not bench.has_survivor:
        pytest.skip("only survivoR's data show it")
    found = findings_of(damage)
    caught = {
        name: found[name]
        for name, evidence in damage.caught_by.items()
        if name in found and (evidence or "") in found[name].evidence
    }
    blocked = any(finding.blocks for finding in caught.values())
    table.add_row(
        damage.name,
        "\n".join(caught) or "[red]nothing: it goes unseen",
        "blocked" if blocked else "warned",
    )
    unseen = {
        name: found[name].evidence[:600] if name in found else "passed, or there is no such check"
        for name in damage.caught_by
        if name not in caught
    }
    assert not unseen, f"Not seen by the checks that were to see it: {unseen}"
    assert blocked is not damage.warned

"""Every test in here needs a service and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import psycopg

    from include.warehouse.connection import ConnectionSettings

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `-m "not integration"` leaves them out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def survivor_warehouse(
    create_warehouse: Callable[[], ConnectionSettings],
    survivor_snapshots: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> ConnectionSettings:
    """The superuser's way into a warehouse that shows release 1: survivoR of 2026-06-12."""
    from tests.conftest import as_pipeline
    from tests.integration.survivor_releases import REFERENCE, build_release, show

    superuser = create_warehouse()
    pipeline = as_pipeline(superuser)
    release_id = build_release(
        pipeline, survivor_snapshots / REFERENCE, tmp_path_factory.mktemp("survivor")
    )
    show(pipeline, release_id)
    return superuser


@pytest.fixture
def analyst(survivor_warehouse: ConnectionSettings) -> Iterator[psycopg.Connection]:
    """A reader of survivoR of 2026-06-12, who sees the public schemas and nothing else."""
    from include.warehouse.schemas import READER

    with survivor_warehouse.connect(role=READER) as connection:
        yield connection


@pytest.fixture
def owner(warehouse: ConnectionSettings) -> Iterator[psycopg.Connection]:
    """A session that opens, publishes and drops releases in a fresh warehouse."""
    from include.warehouse.schemas import OWNER

    with warehouse.connect(role=OWNER) as connection:
        yield connection


@pytest.fixture
def reader(warehouse_admin: ConnectionSettings) -> Iterator[psycopg.Connection]:
    """A session that sees what is published there."""
    from include.warehouse.schemas import READER

    with warehouse_admin.connect(role=READER, autocommit=True) as connection:
        yield connection


@pytest.fixture
def build(warehouse: ConnectionSettings, owner: psycopg.Connection) -> Callable[..., int]:
    """Builds a release of one table per layer there, audited unless told otherwise."""
    from tests.integration.small_releases import build_release

    return partial(build_release, warehouse, owner)

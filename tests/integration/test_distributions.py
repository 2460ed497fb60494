"""The distributions of features are read from the release and from the one before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

import psycopg
import pytest

from include.quality.distributions import release_before
from include.quality.distributions.features import features
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import publish_release, show_again
from include.warehouse.schemas import AUDITOR

GOLD = """
    number as castaway_id, 'k' || number as features_key,
    number % 2 as wins, number / {scale}.0 as rate, 'None' as tribe, number > 30 as is_juror
from generate_series(1, 40) as number
"""


@pytest.fixture
def auditor(warehouse: ConnectionSettings) -> Iterator[psycopg.Connection]:
    with warehouse.connect(role=AUDITOR, autocommit=True) as connection:
        yield connection


@pytest.fixture(params=["at once", "column by column"])
def reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of any size is described alike."""
    if request.param == "column by column":
        module = import_module("include.quality.distributions.features")
        monkeypatch.setattr(module, "CELLS_AT_ONCE", 1)


@pytest.mark.usefixtures("reads")
def test_features_are_those_of_the_table_beside_those_of_the_release_before(
    auditor: psycopg.Connection, build: Callable[..., int]
) -> None:
    """Keys are no features, and the text None is a value."""
    before = build(GOLD.format(scale=40))
    now = build(GOLD.format(scale=80) + " union all select 41, 'k', null, 1, null, null")
    found = features(auditor, "features", ["castaway_id"], f"gold_r{now}", f"gold_r{before}")
    assert (found.rows, found.rows_before) == (41, 40)
    wins, rate, tribe, juror = found.distributions
    assert [one.name for one in found.distributions] == ["wins", "rate", "tribe", "is_juror"]
    assert wins.now.unknown == pytest.approx(1 / 41)
    assert rate.shift is not None and rate.shift > 0.4
    assert [bin_.label for bin_ in tribe.bins] == ["None"]
    assert [bin_.label for bin_ in juror.bins] == ["false", "true"]


@pytest.mark.usefixtures("reads")
def test_a_feature_of_another_type_is_not_compared(
    auditor: psycopg.Connection, build: Callable[..., int]
) -> None:
    before = build("1 as same, 'a' as other")
    now = build("2 as same, 2 as other, 3 as new")
    found = features(auditor, "features", [], f"gold_r{now}", f"gold_r{before}")
    assert [one.before is not None for one in found.distributions] == [True, False, False]


def test_the_release_before_is_what_readers_see(
    owner: psycopg.Connection, auditor: psycopg.Connection, build: Callable[..., int]
) -> None:
    """After a rollback the next release is compared with what was rolled back to."""
    first, second = build(), build()
    assert release_before(auditor, first) is None
    publish_release(owner, first)
    publish_release(owner, second)
    third = build()
    assert release_before(auditor, third) == second
    assert release_before(auditor, second) == first
    show_again(owner, first, "a test")
    assert release_before(auditor, third) == first

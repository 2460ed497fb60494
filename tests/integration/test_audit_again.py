"""A release that is there already is audited again, and nobody notices but who asked for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.integration.small_releases import AUDITED, check, start

if TYPE_CHECKING:
    from include.warehouse.connection import ConnectionSettings


@pytest.fixture(autouse=True)
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is dropped here has no pages of a person's."""
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", tmp_path.as_uri())


@pytest.fixture
def published(build: Callable[..., int], owner: psycopg.Connection) -> list[int]:
    """Two releases that readers saw, the second of them now."""
    from include.warehouse.releases import publish_release

    numbers = []
    for _ in range(2):
        numbers.append(build())
        publish_release(owner, numbers[-1])
        owner.commit()
    return numbers


def test_without_a_number_it_is_what_readers_see(
    warehouse: ConnectionSettings, published: list[int]
) -> None:
    from include import pipeline

    assert pipeline.release_to_audit(warehouse, None).release_id == published[1]
    assert pipeline.release_to_audit(warehouse, published[0]).release_id == published[0]


def test_a_release_that_cannot_be_audited_again_is_refused_in_words(
    warehouse: ConnectionSettings, owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    from include import pipeline
    from include.warehouse.occupancy import looking_at
    from include.warehouse.releases import ReleaseError, fail_release, publish_release
    from include.warehouse.retention import Retention, prune_releases

    with pytest.raises(ReleaseError, match="Nothing is published yet: name the release"):
        pipeline.release_to_audit(warehouse, None)
    failed = start(owner)
    fail_release(owner, failed, "boot_mapping fell to 14 rows")
    old, newer = build(), build()
    for release in (old, newer):
        publish_release(owner, release)
    prune_releases(owner, Retention(kept=1))
    building = start(owner)
    owner.commit()
    for release, reason in {
        failed: "failed .boot_mapping fell to 14 rows.: it is not whole",
        old: "has no tables any more",
        building: "is being built by a test",
        4711: "There is no release 4711",
    }.items():
        with pytest.raises(ReleaseError, match=reason):
            pipeline.release_to_audit(warehouse, release)
        # It may have become so since it was chosen.
        with pytest.raises(ReleaseError, match=reason), looking_at(warehouse, release, "test"):
            pass
        owner.rollback()


def test_a_replay_that_is_looked_at_is_not_reopened(
    warehouse: ConnectionSettings, owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    """As a stage of its run would do, after which an orphan's end would have awaited it."""
    from include.warehouse.occupancy import looking_at
    from include.warehouse.releases import get_release, publish_release

    replay = build(is_replay=True)
    publish_release(owner, replay)
    before = get_release(owner, replay)
    with looking_at(warehouse, replay, "audit_with_soda"):
        pass
    assert get_release(owner, replay) == before


def test_what_is_looked_at_is_not_dropped_and_can_be_shown(
    warehouse: ConnectionSettings,
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    published: list[int],
) -> None:
    """Retention would have taken the tables away under an audit's queries."""
    from include.warehouse.occupancy import looking_at
    from include.warehouse.releases import roll_back
    from include.warehouse.retention import Retention, prune_releases

    first, second = published
    with (
        looking_at(warehouse, first, "audit_with_soda"),
        looking_at(warehouse, first, "dbt_test"),
    ):
        assert prune_releases(owner, Retention(kept=1)) == []
        roll_back(owner, first)
        assert reader.execute("select release from bronze.things").fetchall() == [(first,)]
    roll_back(owner, second)
    assert prune_releases(owner, Retention(kept=1)) == [first]


def test_a_stage_that_changes_a_release_and_who_looks_at_it_wait_for_each_other(
    warehouse: ConnectionSettings, published: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.warehouse import occupancy

    monkeypatch.setattr(occupancy, "WAIT", "300ms")
    looking = occupancy.looking_at(warehouse, published[1], "audit_with_soda")
    with looking, ThreadPoolExecutor() as pool:

        def work() -> None:
            with occupancy.working_on(warehouse, published[1], "load_bronze"):
                pass

        with pytest.raises(occupancy.ReleaseBusy, match="audit_with_soda holds r"):
            pool.submit(work).result(timeout=20)


def test_the_outcome_says_what_readers_see_and_what_could_be_shown_instead(
    warehouse: ConnectionSettings, published: list[int]
) -> None:
    from include import pipeline
    from include.warehouse.checks import record_check_results
    from include.warehouse.schemas import AUDITOR

    first, second = published
    with warehouse.connect(role=AUDITOR) as auditor:
        results = [check("soda", layer, outcome="failed") for tool, layer in AUDITED[:2]]
        record_check_results(auditor, second, "soda", results)
    seen = pipeline.audit_outcome(warehouse, second)
    assert seen.checks["soda"] == {"failed": 2}
    assert "Readers see it in bronze, silver, gold" in seen.consequence
    assert "survivor_release_rollback" in seen.consequence
    assert f"These can be shown: {first} (" in seen.consequence
    assert "Readers do not see it" in pipeline.audit_outcome(warehouse, first).consequence


def test_the_note_of_a_run_compares_with_what_readers_saw_before(
    warehouse: ConnectionSettings, owner: psycopg.Connection, published: list[int]
) -> None:
    from include import pipeline
    from include.warehouse.releases import fail_release

    note = pipeline.release_note(warehouse, published[1])
    assert f"**[Release {published[1]}](gamebot/releases/{published[1]})** is published" in note
    assert f"since release {published[0]}" in note
    assert "| gold | 1 | +0 |" in note

    failed = start(owner)
    fail_release(owner, failed, "a test")
    owner.commit()
    note = pipeline.release_note(warehouse, failed)
    assert "is not published. Readers keep" in note and f"gamebot/releases/{published[1]}" in note


def test_what_is_offered_to_be_shown_is_what_can_be_shown(
    owner: psycopg.Connection, build: Callable[..., int], published: list[int]
) -> None:
    """The list in a message and the refusal used to be two rules, which could part."""
    from include.warehouse.releases import (
        ReleaseError,
        fail_release,
        list_releases,
        publish_release,
        show_again,
    )
    from include.warehouse.retention import Retention, prune_releases

    publish_release(owner, build())
    publish_release(owner, build(is_replay=True))
    prune_releases(owner, Retention(kept=2))
    fail_release(owner, start(owner), "a test")
    start(owner)
    for release in list_releases(owner):
        with owner.transaction(force_rollback=True):
            if release.can_be_shown or release.state == "published":
                show_again(owner, release.release_id)
            else:
                with pytest.raises(ReleaseError):
                    show_again(owner, release.release_id)

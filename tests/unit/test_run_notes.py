"""The note of a run fits where Airflow keeps it, and says first what matters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from include.run_notes import LONGEST, failure_note, release_note, with_note
from include.warehouse.releases import Release
from include.warehouse.summary import ReleaseSummary

NOW = datetime(2026, 6, 12, tzinfo=UTC)


def summary(release_id: int, rows: dict[str, int], **changes: Any) -> ReleaseSummary:
    release = Release(
        **{
            "release_id": release_id,
            "state": "published",
            "source_kind": "upstream",
            "source_version": "80aaf498bf06aaaa",
            "source_location": "https://example.org",
            "source_commit": "80aaf498bf06aaaa",
            "source_fingerprint": "f",
            "source_note": None,
            "code_fingerprint": "c",
            "target_layer": "gold",
            "is_replay": False,
            "triggered_by": "manual__1",
            "run_type": "manual",
            "triggering_user": None,
            "opened_at": NOW,
            "active_at": NOW,
            "built_at": NOW,
            "audited_at": NOW,
            "published_at": NOW,
            "closed_at": None,
            "pruned_at": None,
            "failure": None,
            "shown_layers": [],
            **changes,
        }
    )
    return ReleaseSummary(
        release=release,
        rows={layer: {"things": count} for layer, count in rows.items()},  # type: ignore[misc]
        checks={"soda": {"passed": 226, "warned": 1}, "great_expectations": {"passed": 92}},
        problems=[],
        drift=[],
    )


def test_a_release_is_summed_up_with_what_changed() -> None:
    note = release_note(
        summary(42, {"bronze": 190_856, "gold": 1_441}),
        summary(41, {"bronze": 189_000, "gold": 1_460}),
        ["upstream: castaways.pronouns - new column"],
    )
    assert "**[Release 42](gamebot/releases/42)** is published: upstream 80aaf498bf06" in note
    assert "| bronze | 190,856 | +1,856 |" in note
    assert "| gold | 1,441 | -19 |" in note
    assert "226 passed, 1 warned (soda); 92 passed (great expectations)" in note
    assert "* upstream: castaways.pronouns - new column" in note


def test_the_first_release_and_a_replay_have_nothing_to_be_compared_with() -> None:
    note = release_note(summary(1, {"bronze": 7}, published_at=None), None, [])
    assert "is a replay: audited, and not shown" in note
    assert "| bronze | 7 |  |" in note
    assert "news" not in note


def test_a_failure_says_where_why_and_what_to_do_and_not_twice() -> None:
    reasons = {"load_bronze": "boot_mapping fell\nto 14 rows", "close_release": "not published"}
    note = failure_note("survivor_medallion_pipeline", reasons, "Readers keep release 41.")
    assert note.startswith("**Failed** in `load_bronze`\n")
    assert "* `load_bronze`: boot_mapping fell to 14 rows" in note
    assert "close_release" not in note
    assert "docs/runbooks/failed-run.md" in note
    assert note.endswith("Readers keep release 41.")
    assert "rollback.md" in failure_note("survivor_release_audit", reasons, None)


def test_whoever_ends_a_run_by_hand_is_told_so() -> None:
    note = failure_note("survivor_medallion_pipeline", {}, None)
    assert note.startswith("**Failed** by hand\n")


def test_what_a_person_wrote_stays_and_an_earlier_try_does_not() -> None:
    first = with_note("Fixed the bucket, trying again.", "Failed")
    second = with_note(first, "Release 42")
    assert second.startswith("Release 42")
    assert "Fixed the bucket, trying again." in second and "Failed" not in second
    # Written by hand below ours, once the run had ended.
    third = with_note(with_note(None, "Failed") + "\nUpstream knows.", "Release 42")
    assert third.endswith("Upstream knows.") and "Failed" not in third


def test_a_note_that_airflow_has_no_room_for_is_cut_and_a_persons_is_not() -> None:
    """Its table takes 1,000 characters, and one more would be an error of the scheduler's."""
    note = with_note("Upstream knows.", "news\0 " * 1000)
    assert len(note) == LONGEST
    assert note.endswith("Upstream knows.")
    assert "\0" not in note
    assert len(with_note("x" * LONGEST, "Failed")) == LONGEST

"""The summary names what a person must know, whatever the outcome."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from include.local.summary import (
    PROBLEMS_SHOWN,
    render_history,
    render_places,
    render_releases,
    render_summary,
)
from include.warehouse.history import ReleaseEvent
from include.warehouse.releases import Release
from include.warehouse.summary import ReleaseSummary

WHEN = datetime(2026, 6, 12, 10, tzinfo=UTC)


def release(**changes: Any) -> Release:
    values = {
        "release_id": 7,
        "state": "published",
        "source_kind": "upstream",
        "source_version": "9f3c2ab",
        "source_location": "a folder",
        "source_commit": "9f3c2ab",
        "source_fingerprint": "data",
        "source_note": None,
        "code_fingerprint": "code",
        "target_layer": "gold",
        "is_replay": False,
        "triggered_by": "a test",
        "run_type": "asset_triggered",
        "triggering_user": None,
        "opened_at": WHEN,
        "active_at": WHEN,
        "built_at": WHEN,
        "audited_at": WHEN,
        "published_at": WHEN,
        "closed_at": None,
        "pruned_at": None,
        "failure": None,
        "shown_layers": ["bronze", "silver", "gold"],
    }
    return Release.model_validate(values | changes)


def summary(**changes: Any) -> ReleaseSummary:
    values = {
        "release": release(),
        "rows": {"bronze": {"votes": 1000, "castaways": 234}, "silver": {"votes": 999}},
        "checks": {"soda": {"passed": 40, "warned": 2}, "dbt": {"passed": 170}},
        "problems": [],
        "drift": [],
    }
    return ReleaseSummary.model_validate(values | changes)


def shown(renderable: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_published_release_shows_source_rows_checks_and_times() -> None:
    text = shown(render_summary(summary(), {"load_bronze": 4.24}))
    assert "Release 7 is published" in text
    assert "upstream a folder, commit 9f3c2ab" in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "bronze 2 1,234" in lines
    assert "Soda checks 40 2 0 0" in lines
    assert "load_bronze 4.2" in lines


def test_a_failed_release_says_why_in_one_line_and_that_readers_are_safe() -> None:
    failed = release(state="failed", failure="audit_with_soda: 2 checks\n* one\n* two")
    text = shown(render_summary(summary(release=failed), {}))
    assert "Release 7 is not published: audit_with_soda: 2 checks\n" in text
    assert "What readers see did not change" in text


def test_a_stand_in_source_is_said_aloud() -> None:
    noted = release(source_kind="snapshot", source_note="UPSTREAM COULD NOT BE REACHED")
    assert "UPSTREAM COULD NOT BE REACHED" in shown(render_summary(summary(release=noted), {}))


def test_a_hundred_problems_are_counted_and_not_all_shown() -> None:
    problems = [f"failed: check {number} [of many]" for number in range(100)]
    text = shown(render_summary(summary(problems=problems), {}))
    assert "check 0 [of many]" in text
    assert f"and {100 - PROBLEMS_SHOWN} more" in text
    assert f"check {PROBLEMS_SHOWN} " not in text


def test_places_name_only_what_is_there(tmp_path: Path) -> None:
    assert "make up" in shown(render_places(tmp_path, ui_is_running=False))
    assert "pages about" not in shown(render_places(tmp_path, ui_is_running=False))
    (tmp_path / "releases").mkdir()
    (tmp_path / "package.json").write_text('{"release_id": 7, "path": "releases/7/package"}')
    text = shown(render_places(tmp_path, ui_is_running=True))
    assert "make up" not in text
    # As much of its name as fits into the line.
    assert str(tmp_path)[:20] in text
    assert "the same files, made with the release" in text and "pages about each release" in text


def test_releases_are_listed_with_the_reason_of_a_failure() -> None:
    text = shown(
        render_releases(
            [release(), release(release_id=6, state="failed", failure="why\nmore", shown_layers=[])]
        )
    )
    assert "published" in text and "2026-06-12 10:00" in text and "asset triggered" in text
    assert "bronze, silver, gold" in text
    assert "why" in text and "more" not in text


def test_a_replay_is_not_taken_for_a_failure_and_says_how_to_publish_it() -> None:
    replay = release(state="audited", is_replay=True, published_at=None)
    text = shown(render_summary(summary(release=replay), {}))
    assert "Release 7 is a replay, and passed its audits" in text
    assert "make publish RELEASE=7" in text
    by_hand = replay.model_copy(update={"run_type": "manual", "triggering_user": "ana"})
    listed = shown(render_releases([by_hand]))
    assert "audited, replay" in listed and "manual, ana" in listed


def test_what_readers_saw_is_listed_with_who_changed_it() -> None:
    rows = [("rolled_back", 41, "ana"), ("published", 42, "scheduled__2026-06-12")]
    events = [
        ReleaseEvent.model_validate(
            {
                "release_id": number,
                "event": event,
                "layers": ["bronze"],
                "happened_at": WHEN,
                "done_by": who,
                "login": "pipeline",
                "waited_seconds": 2.04,
                "detail": None,
            }
        )
        for event, number, who in rows
    ]
    lines = [" ".join(line.split()) for line in shown(render_history(events)).splitlines()]
    assert "back to release 41 2026-06-12 10:00:00 bronze ana 2.0 s" in lines
    assert "release 42 2026-06-12 10:00:00 bronze scheduled__2026-06-12 2.0 s" in lines

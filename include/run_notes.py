"""The note of a run: what a person who looks at the list of runs wants to know of each.

A task may not write it: in Airflow 3 a run belongs to the scheduler and the API server. So a task
leaves the text in XCom, and the listener of `plugins/gamebot_run_notes` writes it at the run's end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.warehouse.releases import Release
    from include.warehouse.summary import ReleaseSummary

# Under which key of XCom a task leaves it.
NOTE = "run_note"

# What Airflow has room for.
LONGEST = 1000
LONGEST_REASON = 300

# What precedes it is ours; the pages of Airflow do not show it.
MARK = "<!-- above: gamebot -->"

# Red whenever another task is, and repeating its reason.
SUM_UP = ("close_release", "conclude_audit")

# What a person reads about a red run; the other DAGs have the pipeline's.
RUNBOOKS = {
    "survivor_release_audit": "docs/runbooks/rollback.md",
    "survivor_release_rollback": "docs/runbooks/rollback.md",
}
PIPELINE_RUNBOOK = "docs/runbooks/failed-run.md"


def runbook(dag_id: str) -> str:
    """Return the document that says what to do about a red run, seen from the project's root."""
    return RUNBOOKS.get(dag_id, PIPELINE_RUNBOOK)


def release_page(release_id: int) -> str:
    """Return where the console shows a release, as Airflow's pages see it, wherever they are."""
    return f"gamebot/releases/{release_id}"


def release_link(release_id: int) -> str:
    """Name a release and lead to its page."""
    return f"[Release {release_id}]({release_page(release_id)})"


def release_note(
    summary: ReleaseSummary, before: ReleaseSummary | None, news: Sequence[str]
) -> str:
    """Sum a release up that came to a good end.

    Args:
        before: what readers saw before it, where that is still there.
        news: as `include.warehouse.news` tells.
    """
    release = summary.release
    fate = "is published" if release.published_at else "is a replay: audited, and not shown"
    lines = [f"**{release_link(release.release_id)}** {fate}: {_source(release)}.", ""]
    since = f"since release {before.release.release_id}" if before else ""
    lines += [f"| layer | rows | {since} |", "|:--|--:|--:|"]
    for layer, tables in summary.rows.items():
        rows = sum(tables.values())
        change = f"{rows - sum(before.rows.get(layer, {}).values()):+,}" if before else ""
        lines.append(f"| {layer} | {rows:,} | {change} |")
    lines += ["", checks_line(summary.checks)]
    if news:
        lines += ["", f"{len(news)} news:", *(f"* {line}" for line in news)]
    return "\n".join(lines)


def checks_line(checks: Mapping[str, Mapping[str, int]]) -> str:
    """Say how many checks of each tool passed, and how many of them did what else."""
    told = []
    for tool, outcomes in checks.items():
        others = [f"{count:,} {word}" for word, count in outcomes.items() if word != "passed"]
        counts = [f"{outcomes.get('passed', 0):,} passed", *others]
        told.append(f"{', '.join(counts)} ({tool})")
    return f"Checks: {'; '.join(told) or 'none'}.".replace("_", " ")


def failure_note(dag_id: str, reasons: Mapping[str, str | None], left: str | None) -> str:
    """Say in which tasks a run failed, why, and what to do.

    Args:
        reasons: what each failed task left, by its id.
        left: what a task left as the note of the run.
    """
    causes = [task for task in reasons if task not in SUM_UP] or list(reasons)
    told = [f"* `{task}`: {_short(reasons[task] or 'see its log')}" for task in causes]
    # The list of runs shows this line alone.
    where = ", ".join(f"`{task}`" for task in causes)
    parts = [
        f"**Failed** {f'in {where}' if where else 'by hand'}",
        "\n".join(told),
        f"What to do: `{runbook(dag_id)}`",
        left,
    ]
    return "\n\n".join(filter(None, parts))


def with_note(existing: str | None, text: str) -> str:
    """Put our note above what a person wrote, in place of the one of an earlier try.

    Above, since the list of runs shows the first line alone.
    """
    ours, mark, below = (existing or "").replace("\0", "").partition(MARK)
    theirs = (below if mark else ours).strip()
    rest = f"\n\n{MARK}\n{theirs}".rstrip()
    text = text.replace("\0", "")
    room = LONGEST - len(rest)
    if len(text) > room:
        text = f"{text[: max(room - 1, 0)]}…"
    return f"{text}{rest}"[:LONGEST]


def _source(release: Release) -> str:
    commit = f", commit {release.source_commit[:12]}" if release.source_commit else ""
    return f"{release.source_kind} {release.source_version[:12]}{commit}"


def _short(reason: str) -> str:
    line = re.sub(r"\s+", " ", reason)
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"

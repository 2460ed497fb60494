"""Train the model, print how it did, write the report, and speak up when it did too well."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg
from rich.console import Console
from rich.progress import track
from rich.table import Table

from include.baseline.data import MOMENTS, WHOLE_SEASON, read_pools
from include.baseline.evaluation import ALARM, Evaluation, evaluate
from include.warehouse.connection import ConnectionSettings

console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)

COLUMNS = ("moment", "known", "castaways", "chance", "top-1", "95 %", "AUC", "95 %")


def row(evaluation: Evaluation) -> tuple[str, ...]:
    """Return one line of the report."""
    pool = evaluation.pool
    return (
        pool.moment,
        f"{pool.knowledge} (leaks)" if pool.leaks else pool.knowledge,
        f"{len(pool.won):,}",
        f"{evaluation.chance:.3f}",
        f"{evaluation.top_1:.3f}",
        "{:.2f} to {:.2f}".format(*evaluation.top_1_interval),
        f"{evaluation.auc:.3f}",
        "{:.2f} to {:.2f}".format(*evaluation.auc_interval),
    )


def write_report(path: Path, evaluations: Sequence[Evaluation], source: str, verdict: str) -> None:
    """Write the table as Markdown."""
    seasons = evaluations[0].pool.seasons.nunique()
    lines = [
        "# Who wins? An honest baseline",
        "",
        f"Logistic regression, one of {seasons} seasons left out at a time.",
        f"Data: survivoR from {source}.",
        "",
        "- top-1: share of seasons whose winner it ranks first; Wilson interval",
        "- chance: the same by drawing lots",
        "- AUC: how often it ranks the winner above somebody else; interval by resampling seasons",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(f"| {' | '.join(row(evaluation))} |" for evaluation in evaluations),
        "",
        f"Rows marked as leaking use {WHOLE_SEASON}, which counts the whole season, jury votes",
        "included: what a model would pretend to know.",
        "",
        verdict,
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Evaluate a simple winner model on gold.")
    parser.add_argument("--report", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--moment", choices=MOMENTS, help="only one moment instead of all")
    arguments = parser.parse_args()
    moments = [arguments.moment] if arguments.moment else list(MOMENTS)
    try:
        with ConnectionSettings.from_environment().connect() as connection:
            pools = read_pools(connection, moments)
            (source,) = connection.execute(
                "select min(source_kind || ' ' || left(source_version, 12)) "
                "from bronze.dataset_versions "
                "where release_id = (select max(_release_id) from bronze.season_summary)"
            ).fetchone() or ("?",)
    except psycopg.errors.UndefinedTable as error:
        console.print(
            f"There is nothing to learn from yet ({error.diag.message_primary}): make run."
        )
        return 1
    quiet = not console.is_terminal
    evaluations = [evaluate(pool) for pool in track(pools, "Training", disable=quiet)]
    too_good = [each for each in evaluations if each.is_too_good and not each.pool.leaks]
    verdict = (
        "A LEAK: "
        + "; ".join(f"{each.pool.moment}, {each.pool.knowledge}" for each in too_good)
        + f" is surely more than {ALARM:.0%} above chance. Find the column that knows the end."
        if too_good
        else f"No honest row is surely more than {ALARM:.0%} above chance: no sign of a leak."
    )
    table = Table(*COLUMNS, title="Who wins?")
    for evaluation in evaluations:
        table.add_row(*row(evaluation), end_section=evaluation.pool.leaks)
    console.print(table)
    console.print(verdict)
    write_report(arguments.report, evaluations, source, verdict)
    console.print(f"Report: {arguments.report}", soft_wrap=True)
    return 1 if too_good else 0


if __name__ == "__main__":
    sys.exit(main())

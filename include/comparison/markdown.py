"""A comparison as CHANGES.md."""

from __future__ import annotations

from include.comparison.models import ReleaseComparison


def as_markdown(comparison: ReleaseComparison) -> str:
    """Write a comparison for people, as Markdown."""
    lines = [
        f"# Release {comparison.newer.release_id} against release {comparison.older.release_id}",
        "",
    ]
    if comparison.is_equal:
        lines.append("Nothing differs.")
    for table in comparison.tables:
        if not table.is_equal:
            lines.append(
                f"- `{table.layer}.{table.table}`: {table.rows_added:,} rows added, "
                f"{table.rows_removed:,} removed, {table.rows_changed:,} changed "
                f"({table.cells_changed:,} cells)"
            )
    return "\n".join(lines) + "\n"

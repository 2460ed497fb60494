"""The winner model is no better than an honest one can be, and says so when its data leak."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.environments import CommandFailed, MissingEnvironment, executable, run
from include.warehouse.connection import ConnectionSettings

FINAL_FIVE = ["--moment", "as_of_final_5"]


def train(warehouse: ConnectionSettings, report: Path) -> str:
    """Run the baseline as make does, on one moment. Returns what it printed."""
    try:
        python = executable("baseline")
    except MissingEnvironment as error:
        pytest.skip(str(error))
    lines: list[str] = []
    run(
        [python, "-m", "include.baseline", "--report", report, *FINAL_FIVE],
        warehouse.as_environment(),
        lines.append,
    )
    return "\n".join(lines)


def test_what_was_known_at_the_final_five_names_few_winners_and_the_whole_season_nearly_all(
    survivor_warehouse: ConnectionSettings, tmp_path: Path
) -> None:
    printed = train(survivor_warehouse, tmp_path / "baseline.md")
    assert "no sign of a leak" in printed
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (tmp_path / "baseline.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| at ")
    ]
    top_1 = {known: float(share) for _, known, _, _, share, *_ in rows}
    assert {castaways for _, _, castaways, *_ in rows} == {"380"}
    assert top_1.pop("ml_features_hybrid (leaks)") > 0.85
    assert len(top_1) == 3 and max(top_1.values()) < 0.5


def test_a_column_that_knows_the_end_raises_the_alarm(
    survivor_warehouse: ConnectionSettings, tmp_path: Path
) -> None:
    """As if jury_votes_received had slipped into the features."""
    with survivor_warehouse.connect() as admin:
        admin.execute("alter view gold.as_of_final_5 rename to as_of_final_5_aside")
        admin.execute(
            "create view gold.as_of_final_5 as select final.*, season.jury_votes_received "
            "from gold.as_of_final_5_aside as final "
            "join gold.ml_features_non_edit as season using (version_season, castaway_id)"
        )
    try:
        with pytest.raises(CommandFailed, match="A LEAK: at the final five"):
            train(survivor_warehouse, tmp_path / "baseline.md")
    finally:
        with survivor_warehouse.connect() as admin:
            admin.execute("drop view gold.as_of_final_5")
            admin.execute("alter view gold.as_of_final_5_aside rename to as_of_final_5")

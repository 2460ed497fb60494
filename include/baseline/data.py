"""What the model is given: castaways at one moment of their seasons, and what it may know."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd
import psycopg
from psycopg import sql

SEASON, CASTAWAY, WINNER = "version_season", "castaway_id", "target_winner"

MOMENTS = {
    "as_of_pre_season": "before the first day",
    "as_of_merge": "at the merge",
    "as_of_final_8": "at the final eight",
    "as_of_final_6": "at the final six",
    "as_of_final_5": "at the final five",
}
WHOLE_SEASON = "ml_features_hybrid"

# Text with more values than these names people or places rather than kinds of them.
MOST_CATEGORIES = 12


@dataclass(frozen=True)
class Pool:
    """Castaways of complete seasons at one moment, and the features that a model gets of them."""

    moment: str
    knowledge: str
    seasons: pd.Series
    won: pd.Series
    features: pd.DataFrame
    leaks: bool = False


def read_pools(
    connection: psycopg.Connection, views: Collection[str] = tuple(MOMENTS)
) -> list[Pool]:
    """Return each moment with more and more of what was known, and then with the whole season.

    Args:
        connection: may read the schema gold.
        views: those of MOMENTS that are wanted.

    Raises:
        psycopg.errors.UndefinedTable: no release with gold was published yet.
    """
    whole_season = _read(connection, WHOLE_SEASON)
    pre_game = set(_features(_read(connection, "as_of_pre_season")))
    pools = []
    for view in views:
        table = _read(connection, view)
        table = table[table[WINNER].notna()].reset_index(drop=True)
        known = _features(table)
        edit = {
            column for column in map(str, known) if "confessional" in column or "episode" in column
        }
        knowledge = {"cast": [column for column in known if column in pre_game]}
        if len(knowledge["cast"]) < len(known.columns):
            knowledge["cast, game"] = [column for column in known if column not in edit]
            knowledge["cast, game, edit"] = list(known)
        for name, columns in knowledge.items():
            pools.append(
                Pool(MOMENTS[view], name, table[SEASON], table[WINNER] == 1, known[columns])
            )
        later = table[[SEASON, CASTAWAY]].merge(whole_season, how="left")
        pools.append(
            Pool(
                MOMENTS[view],
                WHOLE_SEASON,
                table[SEASON],
                table[WINNER] == 1,
                _features(later),
                leaks=True,
            )
        )
    return pools


def _read(connection: psycopg.Connection, table: str) -> pd.DataFrame:
    cursor = connection.execute(sql.SQL("select * from gold.{}").format(sql.Identifier(table)))
    columns = [column.name for column in cursor.description or ()]
    return pd.DataFrame(cursor.fetchall(), columns=columns).sort_values(
        [SEASON, CASTAWAY], ignore_index=True
    )


def _features(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers, and text of few values; no keys, no targets, nothing that is always the same."""
    keys = [column for column in map(str, table) if column.endswith(("_key", "_id", SEASON))]
    targets = [column for column in map(str, table) if column.startswith("target_")]
    features = table.drop(columns=[*keys, *targets]).convert_dtypes(convert_string=False)
    text = features.select_dtypes(exclude="number")
    names = [column for column in text if text[column].nunique() > MOST_CATEGORIES]
    constant = [column for column in features if features[column].nunique() < 2]
    return features.drop(columns={*names, *constant})

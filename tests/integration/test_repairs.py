"""What upstream has wrong is right in silver, on survivoR's real data."""

from __future__ import annotations

from typing import Any

import psycopg


def rows(connection: psycopg.Connection, statement: str) -> list[tuple[Any, ...]]:
    return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def test_an_event_belongs_to_the_stage_it_happened_in(analyst: psycopg.Connection) -> None:
    """Four councils of AU06, and events of AU06 and AU10, stand a stage too early upstream.

    What is known "before stage 17" would hold the vote of stage 17.
    """
    for table in ("vote_dynamics", "advantage_strategy"):
        assert (
            rows(
                analyst,
                f"""
                select version_season, sog_id, event.episode, stage.episode as stage_episode
                from silver.{table} as event
                join (
                    select distinct version_season, sog_id, episode
                    from silver.social_positioning
                ) as stage using (version_season, sog_id)
                where event.episode > stage.episode and version_season in ('AU06', 'AU10', 'US49')
                """,
            )
            == []
        )
    assert rows(
        analyst,
        """
        select boot_vote_number, sog_id, count(*) from silver.vote_dynamics
        where (version_season, boot_vote_number) in (
            ('AU06', 17), ('AU10', 2), ('AU11', 11), ('US27', 4)
        )
        group by version_season, boot_vote_number, sog_id order by version_season, sog_id
        """,
    ) == [(17, 17, 10), (2, 2, 12), (11, 11, 8), (4, 3, 9)]


def test_nobody_votes_before_or_after_being_in_the_game(analyst: psycopg.Connection) -> None:
    """SA09 Tevin's ballot after his exit is upstream's and stays; AU08's two were in isolation."""
    assert rows(
        analyst,
        """
        select version_season, boot_vote_number, castaway_id, vote.sog_id
        from silver.vote_dynamics as vote
        left join silver.social_positioning as stage using (version_season, sog_id, castaway_id)
        where castaway_id is not null and stage.is_in_game is not true and version_season != 'AU08'
        order by version_season
        """,
    ) == [("NZ01", 9, "NZ0009", 14), ("SA09", 5, "SA0094", 6)]


def test_wins_are_those_of_the_tribe(analyst: psycopg.Connection) -> None:
    """Charlie and Christian of US50 had each other's wins; Ozzy won the necklace, not nothing."""
    assert rows(
        analyst,
        """
        select castaway, won_flag, won_tribal_immunity, won_individual_immunity
        from silver.challenge_performance
        join silver.castaway_profile using (version_season, castaway_id)
        where (version_season, challenge_id, castaway) in (
            ('US50', 3, 'Charlie'), ('US50', 3, 'Christian'), ('US23', 15, 'Ozzy')
        )
        order by castaway
        """,
    ) == [("Charlie", 1, 1, 0), ("Christian", 0, 0, 0), ("Ozzy", 1, 0, 1)]


def test_targets_named_without_ids_are_known(analyst: psycopg.Connection) -> None:
    """Max of AU10 played for two people. The Hina of US49 are a tribe: a target, no castaway."""
    assert rows(
        analyst,
        """
        select version_season, target_castaway_ids, multi_target_play from silver.advantage_strategy
        where (version_season, advantage_id, sequence_id) in (('AU10', 3, 3), ('US49', 2, 2))
        order by version_season
        """,
    ) == [("AU10", "AU0188, AU0184", True), ("US49", None, False)]


def test_a_castaway_of_us49_leaves_once(analyst: psycopg.Connection) -> None:
    """boot_order skips a number there, which must not count as a second exit."""
    assert rows(
        analyst,
        """
        select n_boots, count(*) from silver.castaway_profile
        where version_season = 'US49' group by n_boots
        """,
    ) == [(1, 18)]

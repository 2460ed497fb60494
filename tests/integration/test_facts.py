"""What survivoR of 2026-06-12 says, as an analyst asks for it in silver and gold.

The answers were counted from upstream's files, not from this warehouse. The package gamebot-lite,
an earlier warehouse of the same data, gets nine of them wrong while all of its checks are green.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Fact:
    """A question, its true answer and every way to ask it."""

    question: str
    answer: Rows
    queries: tuple[str, ...]

    def __str__(self) -> str:
        return self.question


def jury_votes(season: str, answer: Rows) -> Fact:
    """One row per juror and finalist: counting rows gives every finalist the whole jury."""
    return Fact(
        f"What votes did the finalists of {season} receive?",
        answer,
        (
            f"""
            select finalist_name, sum(vote)
            from silver.jury_analysis
            where version_season = '{season}'
            group by finalist_name
            order by 2 desc
            """,
            f"""
            select castaway, jury_votes_received
            from gold.ml_features_non_edit
            join silver.castaway_profile using (version_season, castaway_id)
            where version_season = '{season}' and target_finalist = 1
            order by 2 desc
            """,
            f"""
            select castaway, jury_votes_received
            from gold.ml_features_hybrid
            join silver.castaway_profile using (version_season, castaway_id)
            where version_season = '{season}' and target_finalist = 1
            order by 2 desc
            """,
        ),
    )


def individual_immunities(season: str, castaway: str, wins: int) -> Fact:
    """Rewards, duels and what a tribe wins are no individual immunity."""
    return Fact(
        f"How many individual immunities did {castaway} win in {season}?",
        [(wins,)],
        (
            f"""
            select sum(won_individual_immunity)
            from silver.challenge_performance
            join silver.castaway_profile using (version_season, castaway_id)
            where version_season = '{season}' and castaway = '{castaway}'
            """,
            f"""
            select individual_immunity_wins
            from gold.ml_features_non_edit
            join silver.castaway_profile using (version_season, castaway_id)
            where version_season = '{season}' and castaway = '{castaway}'
            """,
        ),
    )


FACTS = (
    Fact(
        "How many castaway-seasons are there, each once?",
        [(1441, 1441)],
        tuple(
            f"select count(*), count(distinct (version_season, castaway_id)) from {table}"
            for table in (
                "silver.castaway_profile",
                "gold.ml_features_non_edit",
                "gold.ml_features_hybrid",
            )
        ),
    ),
    Fact(
        "How many seasons does each version have?",
        [("AU", 12), ("NZ", 2), ("SA", 9), ("UK", 3), ("US", 50)],
        (
            "select version, count(*) from silver.season_context group by version order by version",
            """
            select version, count(distinct version_season)
            from gold.ml_features_non_edit
            join silver.season_context using (version_season)
            group by version
            order by version
            """,
        ),
    ),
    Fact(
        "How many people have played?",
        [(1198,)],
        (
            "select count(distinct castaway_id) from silver.castaway_profile",
            "select count(*) from silver.castaway_profile where appearance_number = 1",
            "select count(distinct castaway_id) from gold.ml_features_non_edit",
        ),
    ),
    jury_votes("US41", [("Erika", 7), ("Deshawn", 1), ("Xander", 0)]),
    jury_votes("US45", [("Dee", 5), ("Austin", 3), ("Jake", 0)]),
    jury_votes("US20", [("Sandra", 6), ("Parvati", 3), ("Russell", 0)]),
    Fact(
        "How many jury votes were ever cast?",
        [(636,)],
        (
            "select sum(vote) from silver.jury_analysis",
            "select count(distinct (version_season, juror_key)) from silver.jury_analysis",
            "select sum(jury_votes_received) from gold.ml_features_non_edit",
            "select sum(jury_votes_received) from gold.ml_features_hybrid",
        ),
    ),
    Fact(
        "How many of the cast of Heroes vs. Villains had played before: all of them?",
        [(20, True)],
        (
            """
            select returnee_count, all_returnee_cast
            from silver.season_context
            where version_season = 'US20'
            """,
            """
            select count(*) filter (where is_returnee), bool_and(is_returnee)
            from silver.castaway_profile
            where version_season = 'US20'
            """,
            """
            select sum(is_returnee), bool_and(all_returnee_cast = 1)
            from gold.ml_features_non_edit
            where version_season = 'US20'
            """,
        ),
    ),
    Fact(
        "How many returnees played in five seasons of the US?",
        [("US01", 0), ("US16", 10), ("US22", 2), ("US38", 4), ("US45", 1)],
        (
            """
            select version_season, returnee_count
            from silver.season_context
            where version_season in ('US01', 'US16', 'US22', 'US38', 'US45')
            order by version_season
            """,
            """
            select version_season, sum(is_returnee)
            from gold.ml_features_non_edit
            where version_season in ('US01', 'US16', 'US22', 'US38', 'US45')
            group by version_season
            order by version_season
            """,
        ),
    ),
    Fact(
        "How many seasons have a returnee?",
        [(23,)],
        (
            "select count(*) from silver.season_context where returnee_count > 0",
            """
            select count(distinct version_season)
            from silver.castaway_profile
            where previous_version_season is not null
            """,
            "select count(distinct version_season) from gold.ml_features_non_edit "
            "where season_returnee_ratio > 0",
        ),
    ),
    Fact(
        "How old was Boston Rob in each of his seasons?",
        [("US04", 25), ("US08", 27), ("US20", 33), ("US22", 34), ("US40", 43)],
        (
            """
            select version_season, age
            from silver.castaway_profile
            where castaway_id = 'US0055'
            order by appearance_number
            """,
            """
            select version_season, current_age
            from gold.ml_features_non_edit
            where castaway_id = 'US0055'
            order by appearance_number
            """,
        ),
    ),
    individual_immunities("US10", "Tom", 5),
    individual_immunities("US13", "Ozzy", 5),
    Fact(
        "How many individual immunities and individual rewards did Colby win in US02?",
        [(5, 2)],
        (
            """
            select sum(won_individual_immunity), sum(won_individual_reward)
            from silver.challenge_performance
            join silver.castaway_profile using (version_season, castaway_id)
            where version_season = 'US02' and castaway = 'Colby'
            """,
            """
            select individual_immunity_wins, individual_reward_wins
            from gold.ml_features_non_edit
            join silver.castaway_profile using (version_season, castaway_id)
            where version_season = 'US02' and castaway = 'Colby'
            """,
        ),
    ),
    Fact(
        "How many votes did Kelley's idol nullify in episode 8 of US31?",
        [(9,)],
        (
            """
            select votes_nullified
            from silver.advantage_strategy
            join silver.castaway_profile using (version_season, castaway_id)
            where
                version_season = 'US31'
                and castaway = 'Kelley'
                and episode = 8
                and event_category = 'played'
            """,
            """
            select count(*)
            from silver.vote_dynamics as votes
            join silver.castaway_profile as targets
                on
                    votes.version_season = targets.version_season
                    and votes.target_id = targets.castaway_id
            where
                votes.version_season = 'US31'
                and votes.episode = 8
                and targets.castaway = 'Kelley'
                and votes.nullified
            """,
        ),
    ),
    Fact(
        "Whom did the ballots name when Stephen left US31, two of which upstream publishes twice?",
        [("Stephen", 4), ("Abi-Maria", 3), ("Joe", 2)],
        (
            """
            select targets.castaway, count(*)
            from silver.vote_dynamics as votes
            join silver.castaway_profile as targets
                on
                    votes.version_season = targets.version_season
                    and votes.target_id = targets.castaway_id
            where
                votes.version_season = 'US31'
                and votes.boot_vote_number = 12
                and votes.vote_round = 1
            group by targets.castaway
            order by 2 desc
            """,
        ),
    ),
    Fact(
        "Whom did the ballots name before the rocks of US33?",
        [("Hannah", 5), ("Zeke", 5)],
        (
            """
            select targets.castaway, count(*)
            from silver.vote_dynamics as votes
            join silver.castaway_profile as targets
                on
                    votes.version_season = targets.version_season
                    and votes.target_id = targets.castaway_id
            where
                votes.version_season = 'US33'
                and votes.boot_vote_number = 11
                and votes.vote_round = 1
            group by targets.castaway
            order by 1
            """,
        ),
    ),
    Fact(
        "How many ballots of any round named Jessica, who drew the rock in US33?",
        [(0,)],
        (
            """
            select sum(vote_correct)
            from silver.vote_dynamics
            where version_season = 'US33' and boot_vote_number = 11
            """,
            """
            select count(*)
            from silver.vote_dynamics as votes
            join silver.castaway_profile as targets
                on
                    votes.version_season = targets.version_season
                    and votes.target_id = targets.castaway_id
            where
                votes.version_season = 'US33'
                and votes.boot_vote_number = 11
                and targets.castaway = 'Jessica'
            """,
        ),
    ),
    Fact(
        "How many votes did J.T. receive in US18?",
        [(0,)],
        (
            """
            select count(*)
            from silver.vote_dynamics as votes
            join silver.castaway_profile as targets
                on
                    votes.version_season = targets.version_season
                    and votes.target_id = targets.castaway_id
            where
                votes.version_season = 'US18'
                and targets.castaway = 'J.T.'
                and votes.vote_round = 1
            """,
            """
            select total_votes_received
            from gold.ml_features_non_edit
            join silver.castaway_profile using (version_season, castaway_id)
            where version_season = 'US18' and castaway = 'J.T.'
            """,
        ),
    ),
    Fact(
        "How many boot votes are there, and how many of them in US01?",
        [(1217, 14)],
        (
            """
            select
                count(distinct (version_season, boot_vote_number)),
                count(distinct boot_vote_number) filter (where version_season = 'US01')
            from silver.vote_dynamics
            """,
            """
            select sum(boot_vote_count), sum(boot_vote_count) filter (where version_season = 'US01')
            from silver.season_context
            """,
        ),
    ),
    Fact(
        "How many episodes hold two or more boot votes?",
        [(105,)],
        (
            """
            with episodes as (
                select version_season, episode
                from silver.vote_dynamics
                group by version_season, episode
                having count(distinct boot_vote_number) > 1
            )

            select count(*) from episodes
            """,
        ),
    ),
    Fact(
        "Which seasons have the Edge of Extinction, and which Redemption Island?",
        [(["US38", "US40"], ["NZ01", "US22", "US23", "US27"])],
        (
            """
            select
                array_agg(version_season order by version_season)
                    filter (where has_edge_of_extinction),
                array_agg(version_season order by version_season)
                    filter (where has_redemption_island)
            from silver.season_context
            """,
            """
            select
                array_agg(distinct version_season) filter (where has_edge_of_extinction = 1),
                array_agg(distinct version_season) filter (where has_redemption_island = 1)
            from gold.ml_features_non_edit
            """,
        ),
    ),
    Fact(
        "How many seasons have a tribe swap?",
        [(58,)],
        (
            "select count(*) from silver.season_context where has_tribe_swap",
            """
            select count(distinct version_season)
            from silver.social_positioning
            where tribe_status like 'Swapped%'
            """,
            """
            select count(distinct version_season)
            from gold.ml_features_non_edit
            where has_tribe_swap = 1
            """,
        ),
    ),
    Fact(
        "How many confessionals did Russell H. have in US19, and Tony in US28?",
        [("Russell H.", 108), ("Tony", 97)],
        (
            """
            select castaway, sum(confessional_count)
            from silver.edit_features
            join silver.castaway_profile using (version_season, castaway_id)
            where (version_season, castaway) in (('US19', 'Russell H.'), ('US28', 'Tony'))
            group by castaway
            order by castaway
            """,
            """
            select castaway, total_confessional_count
            from gold.ml_features_hybrid
            join silver.castaway_profile using (version_season, castaway_id)
            where (version_season, castaway) in (('US19', 'Russell H.'), ('US28', 'Tony'))
            order by castaway
            """,
        ),
    ),
    Fact(
        "Of how many castaway-seasons is no confessional time known?",
        [(1185,)],
        (
            """
            with castaway_seasons as (
                select version_season, castaway_id
                from silver.edit_features
                join silver.castaway_profile using (version_season, castaway_id)
                group by version_season, castaway_id
                having count(confessional_time) = 0
            )

            select count(*) from castaway_seasons
            """,
            "select count(*) from gold.ml_features_hybrid where total_confessional_time is null",
        ),
    ),
)


@pytest.mark.parametrize("fact", FACTS, ids=str)
def test_fact(analyst: psycopg.Connection, fact: Fact) -> None:
    """Every way to ask gives the true answer."""
    answers = [analyst.execute(query).fetchall() for query in fact.queries]  # type: ignore[arg-type]
    assert answers == [fact.answer] * len(fact.queries)

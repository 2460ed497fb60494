"""Expectations on gold.ml_features_non_edit: castaways of complete seasons, as a whole season."""

from __future__ import annotations

from include.quality.expectations.castaway_seasons import CASTAWAY_SEASONS
from include.quality.expectations.vocabulary import (
    between,
    counts,
    known,
    mean,
    no_rows,
    one_of,
    rates,
)

EXPECTATIONS = [
    *CASTAWAY_SEASONS,
    no_rows(
        # Each of these was the same for everybody once, by a bug that no other check saw.
        "the features that models live on are not the same for everybody",
        """
        select feature.name, min(feature.value) as value
        from {batch} as gold
        cross join jsonb_each_text(to_jsonb(gold)) as feature (name, value)
        where feature.name in (
            'challenges_won', 'individual_wins', 'votes_correct', 'vote_accuracy_rate',
            'total_votes_received', 'idols_found', 'jury_votes_received', 'season_returnee_ratio',
            'is_returnee', 'appearance_number', 'original_tribe_minority_rate'
        )
        group by feature.name
        having min(feature.value) is not distinct from max(feature.value)
        """,
    ),
    # Targets
    *known("target_winner", "target_finalist", "target_jury"),
    one_of("target_winner", 0, 1),
    one_of("target_finalist", 0, 1),
    one_of("target_jury", 0, 1),
    no_rows(
        "every season has exactly one winner",
        """
        select version_season, sum(target_winner) as winners
        from {batch}
        group by version_season
        having sum(target_winner) <> 1
        """,
    ),
    no_rows(
        "the winner has place 1 and nobody else has",
        """
        select version_season, castaway_id, target_winner, target_placement
        from {batch}
        where (target_winner = 1) <> (target_placement = 1)
        """,
    ),
    no_rows(
        # All of its places may be unknown, as upstream left those of 47 seasons in November 2025.
        "the places of a season run from 1 to the size of its cast",
        """
        select version_season, count(*) as castaways, max(target_placement) as last_place
        from {batch}
        group by version_season
        having count(target_placement) > 0 and (
            count(distinct target_placement) <> count(*) or max(target_placement) <> count(*)
        )
        """,
    ),
    # The jury
    no_rows(
        "finalists have the jury votes that the jury gave",
        """
        select version_season, castaway_id, gold.jury_votes_received, silver.votes
        from {batch} as gold
        left join (
            select version_season, finalist_id as castaway_id, sum(vote) as votes
            from jury_analysis
            group by version_season, finalist_id
        ) as silver using (version_season, castaway_id)
        where coalesce(gold.jury_votes_received, 0) <> coalesce(silver.votes, 0)
        """,
    ),
    no_rows(
        "the winner has the most jury votes",
        """
        select version_season, castaway_id, jury_votes_received, most
        from (
            select *, max(jury_votes_received) over (partition by version_season) as most
            from {batch}
        ) as gold
        where target_winner = 1 and jury_votes_received < most
        """,
    ),
    # Who they are
    *between("current_age", low=15, high=90),
    mean("current_age", 28, 40),
    one_of("gender", "Female", "Male", "Non-binary"),
    no_rows(
        "unknown origins stay unknown",
        """
        select version_season, castaway_id, gold.is_bipoc
        from {batch} as gold
        join castaway_profile as silver using (version_season, castaway_id)
        where (gold.is_bipoc is null) <> (silver.bipoc is null)
        """,
    ),
    # Their season
    *between("cast_size", low=10, high=30),
    *rates(
        "season_male_ratio",
        "season_female_ratio",
        "season_bipoc_ratio",
        "season_returnee_ratio",
    ),
    mean("season_male_ratio", 0.4, 0.6),
    no_rows(
        "only American seasons have an era",
        """
        select version_season, season_era, count(*) as castaways
        from {batch}
        where (season_era is not null) <> (version_season like 'US%')
        group by version_season, season_era
        """,
    ),
    # Challenges
    *counts(
        "total_challenges",
        "challenges_won",
        "individual_wins",
        "individual_immunity_wins",
        "individual_reward_wins",
        "duel_wins",
        "team_wins",
        "challenge_sitouts",
    ),
    *rates("individual_win_rate", "team_win_rate"),
    no_rows(
        "nobody won more challenges than they took part in",
        """
        select version_season, castaway_id, challenges_won, total_challenges
        from {batch}
        where challenges_won > total_challenges
        """,
    ),
    no_rows(
        "individual immunity is won as often as in silver",
        """
        select version_season, sum(gold.individual_immunity_wins) as wins,
            max(silver.wins) as in_silver
        from {batch} as gold
        left join (
            select version_season, sum(won_individual_immunity) as wins
            from challenge_performance
            where is_castaway
            group by version_season
        ) as silver using (version_season)
        group by version_season
        having sum(gold.individual_immunity_wins) <> max(silver.wins)
        """,
    ),
    # Votes
    *counts("total_votes_cast", "votes_correct", "total_votes_received", "boot_votes_voted"),
    *rates(
        "vote_accuracy_rate",
        "majority_alliance_rate",
        "lone_wolf_rate",
        "avg_vote_alignment",
    ),
    mean("vote_accuracy_rate", 0.5, 0.8),
    no_rows(
        "the accuracy of votes is unknown exactly for those who never voted",
        """
        select version_season, castaway_id, boot_votes_voted, vote_accuracy_rate
        from {batch}
        where (boot_votes_voted = 0) <> (vote_accuracy_rate is null)
        """,
    ),
    no_rows(
        "nobody voted correctly more often than they voted",
        """
        select version_season, castaway_id, votes_correct, boot_votes_voted
        from {batch}
        where votes_correct > boot_votes_voted
        """,
    ),
    no_rows(
        "the votes of the first rounds are all received by somebody",
        """
        select version_season, sum(gold.total_votes_received) as received,
            max(silver.ballots) as ballots
        from {batch} as gold
        left join (
            select version_season, count(target_id) as ballots
            from vote_dynamics
            where vote_round = 1
            group by version_season
        ) as silver using (version_season)
        group by version_season
        having sum(gold.total_votes_received) <> max(silver.ballots)
        """,
    ),
    # Advantages
    *counts("advantages_found", "advantages_played", "idols_found", "idols_played"),
    *rates("advantage_success_rate", "idol_success_rate"),
    # Standing in the tribe
    *rates(
        "avg_same_gender_ratio",
        "avg_original_tribe_strength",
        "gender_minority_rate",
        "racial_minority_rate",
        "original_tribe_minority_rate",
    ),
]

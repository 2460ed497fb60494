"""Expectations on gold.ml_features_as_of: castaways in the game, as known when a stage begins."""

from __future__ import annotations

from include.quality.expectations.vocabulary import key, no_rows, rates

# What a castaway did can only become more from stage to stage, and ends as the season's total.
GROWING = (
    "boot_votes_attended",
    "boot_votes_voted",
    "total_votes_cast",
    "votes_correct",
    "total_votes_received",
    "total_challenges",
    "challenges_won",
    "individual_immunity_wins",
    "advantages_found",
    "advantages_played",
    "total_confessional_count",
)

# Of single features at the merge the share of confessionals does best, with 0.63 on the commit of
# 2026-06-12; the standard error of 75 winners among 845 is 0.03. A column that knows the end of a
# season is far above: jury votes 0.999, boot votes judged right 0.89.
AUC_BOUND = 0.70
# With fewer winners chance alone exceeds the bound.
WINNERS_NEEDED = 50

EXPECTATIONS = [
    *key("version_season", "sog_id", "castaway_id"),
    no_rows(
        "exactly the castaways in the game are there, at every stage",
        """
        select version_season, sog_id, castaway_id
        from {batch} as gold
        full join (
            select version_season, sog_id, castaway_id from social_positioning where is_in_game
        ) as silver using (version_season, sog_id, castaway_id)
        where gold.ml_features_as_of_key is null or silver.castaway_id is null
        """,
    ),
    no_rows(
        "targets are known exactly in complete seasons",
        """
        select version_season, sog_id, castaway_id
        from {batch} as gold
        join season_context as season using (version_season)
        where
            num_nonnulls(target_winner, target_finalist)
            <> case when season_status = 'complete' then 2 else 0 end
            -- Until November 2025 upstream left the places of most seasons empty.
            or (season_status <> 'complete' and target_placement is not null)
        """,
    ),
    *rates(
        "original_tribe_share",
        "last_tribe_share",
        "vote_accuracy_rate",
        "avg_vote_alignment",
        "confessional_share",
    ),
    no_rows(
        "nothing that happened is forgotten at a later stage",
        f"""
        select version_season, sog_id, castaway_id
        from (
            select
                version_season, sog_id, castaway_id, {", ".join(GROWING)},
                {", ".join(f"lag({column}) over earlier as earlier_{column}" for column in GROWING)}
            from {{batch}}
            window earlier as (partition by version_season, castaway_id order by sog_id)
        ) as stages
        where {" or ".join(f"{column} < earlier_{column}" for column in GROWING)}
        """,
    ),
    no_rows(
        "nobody has done more before a stage than in the whole season",
        f"""
        select version_season, sog_id, castaway_id
        from {{batch}} as gold
        join ml_features_hybrid as season using (version_season, castaway_id)
        where {" or ".join(f"gold.{column} > season.{column}" for column in GROWING)}
        """,
    ),
    no_rows(
        f"no single feature tells the winner at the merge: its AUC is at most {AUC_BOUND}",
        f"""
        with features as (
            select
                feature.name,
                target_winner as won,
                cast(feature.content as double precision) as value
            from {{batch}} as gold
            join season_context as season using (version_season)
            cross join jsonb_each(to_jsonb(gold)) as feature (name, content)
            where
                gold.sog_id = season.merge_sog_id
                and jsonb_typeof(feature.content) = 'number'
                and feature.name not like 'target%'
                and target_winner is not null
        ),
        ranked as (
            select
                name,
                won,
                rank() over (partition by name order by value)
                + (count(*) over (partition by name, value) - 1) / 2.0 as place
            from features
        ),
        areas as (
            select
                name,
                (sum(place) filter (where won = 1) - sum(won) * (sum(won) + 1) / 2.0)
                / nullif(sum(won) * (count(*) - sum(won)), 0) as auc
            from ranked
            group by name
            having sum(won) >= {WINNERS_NEEDED}
        )
        select name, round(auc, 3) as auc
        from areas
        where greatest(auc, 1 - auc) > {AUC_BOUND}
        """,
    ),
]

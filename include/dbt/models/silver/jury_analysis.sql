with jury_votes as (
    select * from {{ source('bronze', 'jury_votes') }}
),

seasons as (
    select * from {{ source('bronze', 'season_summary') }}
),

castaways as (
    select * from {{ source('bronze', 'castaways') }}
),

finalists as (
    select distinct
        version_season,
        finalist_id
    from jury_votes
),

votes as (
    select
        jury_votes.version_season,
        jury_votes.castaway_id,
        coalesce(jury_votes.castaway_id, jury_votes.castaway) as juror_key,
        jury_votes.castaway as juror_name,
        jury_votes.finalist_id,
        jury_votes.finalist as finalist_name,
        jury_votes.vote,
        seasons.winner_id as actual_winner_id,
        jury_votes.vote = 1 and jury_votes.finalist_id = seasons.winner_id as is_vote_for_winner,
        jury_votes.vote = 1 and jury_votes.finalist_id != seasons.winner_id as is_vote_against_winner,
        jurors.original_tribe as juror_original_tribe,
        finalist_castaways.original_tribe as finalist_original_tribe,
        jurors.original_tribe = finalist_castaways.original_tribe as is_same_original_tribe,
        case
            when jury_votes.castaway_id is null then 'public'
            when jurors.castaway_id is null then 'captain'
            when juror_finalists.finalist_id is not null then 'finalist'
            else 'castaway'
        end as juror_type
    from jury_votes
    left join seasons
        on jury_votes.version_season = seasons.version_season
    left join castaways as jurors
        on
            jury_votes.version_season = jurors.version_season
            and jury_votes.castaway_id = jurors.castaway_id
    left join castaways as finalist_castaways
        on
            jury_votes.version_season = finalist_castaways.version_season
            and jury_votes.finalist_id = finalist_castaways.castaway_id
    left join finalists as juror_finalists
        on
            jury_votes.version_season = juror_finalists.version_season
            and jury_votes.castaway_id = juror_finalists.finalist_id
),

final as (
    select
        {{ surrogate_key(['version_season', 'juror_key', 'finalist_id']) }} as jury_analysis_key,
        castaway_id,
        version_season,
        juror_key,
        juror_name,
        juror_type,
        finalist_id,
        finalist_name,
        vote,
        actual_winner_id,
        cast(is_vote_for_winner as integer) as voted_for_winner,
        cast(is_vote_against_winner as integer) as voted_against_winner,
        juror_original_tribe,
        finalist_original_tribe,
        cast(is_same_original_tribe as integer) as same_original_tribe,
        cast(not is_same_original_tribe as integer) as different_original_tribe
    from votes
)

select * from final

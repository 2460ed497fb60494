{%- set columns = [
    ('advantage_movement', 'castaway'),
    ('advantage_movement', 'played_for'),
    ('advantage_timeline', 'castaway'),
    ('auction_details', 'castaway'),
    ('boot_mapping', 'castaway'),
    ('boot_order', 'castaway'),
    ('castaway_scores', 'castaway'),
    ('challenge_results', 'castaway'),
    ('challenge_summary', 'castaway'),
    ('confessionals', 'castaway'),
    ('journeys', 'castaway'),
    ('jury_votes', 'castaway'),
    ('jury_votes', 'finalist'),
    ('survivor_auction', 'castaway'),
    ('tribe_mapping', 'castaway'),
    ('vote_history', 'castaway'),
    ('vote_history', 'vote'),
    ('vote_history', 'voted_out'),
] -%}
{%- set datasets = loaded(columns | map('first') | unique | list) -%}

with castaways as (
    select * from {{ source('bronze', 'castaways') }}
),

people as (
    select * from {{ source('bronze', 'castaway_details') }}
),

votes as (
    select * from {{ source('bronze', 'vote_history') }}
),

jury_votes as (
    select * from {{ source('bronze', 'jury_votes') }}
),

scores as (
    select * from {{ source('bronze', 'castaway_scores') }}
),

finished_seasons as (
    select version_season
    from {{ source('bronze', 'season_summary') }}
    where winner_id is not null
),

mentioned as (
    {% for dataset, column in columns if dataset in datasets -%}
    select distinct
        '{{ dataset }}.{{ column }}' as place,
        version_season,
        {{ column }} as name,
        {{ column }}_id as castaway_id
    from {{ source('bronze', dataset) }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

voters as (
    select distinct
        version_season,
        castaway_id
    from votes
),

jurors as (
    select
        version_season,
        castaway,
        castaway_id,
        sum(vote) as votes
    from jury_votes
    group by version_season, castaway, castaway_id
),

final as (
    select
        'only_castaways_of_the_season_play' as rule,
        concat_ws('|', mentioned.place, mentioned.version_season, mentioned.castaway_id) as row_key,
        castaways.castaway_id is null as is_broken,
        mentioned.name as found
    from mentioned
    left join castaways
        on
            mentioned.version_season = castaways.version_season
            and mentioned.castaway_id = castaways.castaway_id
    where mentioned.castaway_id is not null

    union all

    -- Where each id has one name and no name two ids, in this dataset and in all of them.
    select
        'a_castaway_has_one_name_in_a_season' as rule,
        concat_ws('|', mentioned.place, mentioned.version_season, mentioned.castaway_id) as row_key,
        (mentioned.name is distinct from castaways.castaway) as is_broken,
        coalesce(mentioned.name, 'no name') || ' for ' || castaways.castaway as found
    from mentioned
    inner join castaways
        on
            mentioned.version_season = castaways.version_season
            and mentioned.castaway_id = castaways.castaway_id

    union all

    -- A misspelt name is nobody's. The name of somebody else in the season means that an id was exchanged.
    select
        'no_castaway_has_the_name_of_another' as rule,
        concat_ws('|', mentioned.place, mentioned.version_season, mentioned.castaway_id) as row_key,
        others.castaway_id is not null as is_broken,
        mentioned.name || ', who is ' || others.castaway_id as found
    from mentioned
    left join castaways as others
        on
            mentioned.version_season = others.version_season
            and mentioned.name = others.castaway
            and mentioned.castaway_id != others.castaway_id
    where mentioned.castaway_id is not null

    union all

    select
        'a_named_castaway_has_an_id' as rule,
        concat_ws('|', place, version_season, name) as row_key,
        castaway_id is null as is_broken,
        null as found
    from mentioned
    where name is not null

    union all

    select
        'a_person_has_one_full_name' as rule,
        concat_ws('|', castaways.version_season, castaways.castaway_id) as row_key,
        (castaways.full_name is distinct from people.full_name) as is_broken,
        castaways.full_name || ' for ' || coalesce(people.full_name, 'nobody') as found
    from castaways
    left join people
        on castaways.castaway_id = people.castaway_id

    union all

    select
        'everyone_with_details_has_played' as rule,
        people.castaway_id as row_key,
        not exists (
            select 1
            from castaways
            where castaways.castaway_id = people.castaway_id
        ) as is_broken,
        people.castaway as found
    from people

    union all

    select
        'every_castaway_attends_a_council' as rule,
        concat_ws('|', castaways.version_season, castaways.castaway_id) as row_key,
        voters.castaway_id is null as is_broken,
        castaways.result || ', day ' || castaways.day as found
    from castaways
    inner join finished_seasons
        on castaways.version_season = finished_seasons.version_season
    left join voters
        on
            castaways.version_season = voters.version_season
            and castaways.castaway_id = voters.castaway_id

    union all

    select
        'a_finished_season_has_scores' as rule,
        castaways.version_season as row_key,
        count(*) != count(scores.castaway_id) as is_broken,
        count(scores.castaway_id) || ' of ' || count(*) || ' castaways' as found
    from castaways
    inner join finished_seasons
        on castaways.version_season = finished_seasons.version_season
    left join scores
        on
            castaways.version_season = scores.version_season
            and castaways.castaway_id = scores.castaway_id
    group by castaways.version_season

    union all

    -- Also the other way round: who is flagged, and did not vote.
    select
        'who_votes_in_the_jury_is_flagged_as_juror' as rule,
        concat_ws(
            '|',
            coalesce(jurors.version_season, castaways.version_season),
            coalesce(jurors.castaway, castaways.castaway)
        ) as row_key,
        (jurors.castaway is null or castaways.jury is not true) as is_broken,
        case when jurors.castaway is null then 'flagged, did not vote' else 'votes, is not flagged' end as found
    from jurors
    full outer join castaways
        on
            jurors.version_season = castaways.version_season
            and jurors.castaway_id = castaways.castaway_id
    inner join finished_seasons
        on coalesce(jurors.version_season, castaways.version_season) = finished_seasons.version_season
    where jurors.castaway is not null or castaways.jury

    union all

    select
        'a_juror_votes_once' as rule,
        concat_ws('|', version_season, castaway) as row_key,
        (votes is distinct from 1) as is_broken,
        votes || ' votes' as found
    from jurors
)

select * from final

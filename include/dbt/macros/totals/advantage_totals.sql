{#
    Advantages that a castaway found and played, added up. An advantage counts once however often its
    finding is recorded; a beware advantage counts from the moment it works.

    events   rows of advantage_strategy
    by       columns to add up by: the castaway-season, and the stage before which the rows were known
#}
{% macro advantage_totals(events, by) -%}
    with categorised as (
        select
            *,
            advantage_category = 'idol' as is_idol
        from {{ events }}
    )

    select
        {{ by | join(', ') }},
        count(distinct advantage_id) filter (where event_category in ('obtained_found', 'obtained_other'))
            as advantages_obtained,
        count(distinct advantage_id) filter (where event_category = 'obtained_found') as advantages_found,
        count(*) filter (where event_category = 'played') as advantages_played,
        count(distinct advantage_id) filter (where event_category = 'obtained_found' and is_idol) as idols_found,
        count(*) filter (where event_category = 'played' and is_idol) as idols_played,
        count(*) filter (where played_successfully = 1) as advantages_played_successfully,
        count(*) filter (where played_unsuccessfully = 1) as advantages_played_unsuccessfully,
        count(*) filter (where played_not_needed = 1) as advantages_played_not_needed,
        count(*) filter (where played_for_self = 1) as advantages_played_for_self,
        count(*) filter (where played_for_others = 1) as advantages_played_for_others,
        count(*) filter (where played_successfully = 1 and is_idol) as idols_played_successfully,
        count(*) filter (where played_unsuccessfully = 1 and is_idol) as idols_played_unsuccessfully
    from categorised
    group by {{ by | join(', ') }}
{%- endmacro %}

{#
    First-round ballots against a castaway, added up, penalty ballots included. Re-votes repeat the
    same council, so they count in no total.

    ballots   rows of vote_dynamics with a target, which is their castaway_id
    by        columns to add up by: the castaway-season, and the stage before which the rows were known
#}
{% macro votes_received_totals(ballots, by) -%}
    select
        {{ by | join(', ') }},
        count(*) as total_votes_received,
        count(*) filter (where not nullified) as votes_received_counted,
        count(*) filter (where nullified) as votes_nullified_against,
        count(*) filter (where merge_phase = 'pre_merge') as pre_merge_votes_received,
        count(*) filter (where merge_phase != 'pre_merge') as post_merge_votes_received
    from {{ ballots }}
    where vote_round = 1
    group by {{ by | join(', ') }}
{%- endmacro %}

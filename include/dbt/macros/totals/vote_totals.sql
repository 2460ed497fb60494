{#
    Votes that a castaway cast, added up. Correctness is judged once per boot vote, over all of its
    rounds; agreement with others by first-round ballots, before re-votes narrow the choice.

    votes   rows of vote_dynamics with a voter
    by      columns to add up by: the castaway-season, and the stage before which the rows were known
#}
{% macro vote_totals(votes, by) -%}
    with boot_votes as (
        select
            {{ by | join(', ') }},
            boot_vote_number,
            bool_and(merge_phase = 'pre_merge') as is_pre_merge,
            bool_or(has_ballot) as has_voted,
            bool_or(lost_vote) as has_lost_vote,
            coalesce(bool_or(vote_correct = 1), false) as is_correct,
            coalesce(bool_or(vote_incorrect = 1) and not bool_or(vote_correct = 1), false) as is_incorrect
        from {{ votes }}
        group by {{ by | join(', ') }}, boot_vote_number
    ),

    per_boot_vote as (
        select
            {{ by | join(', ') }},
            count(*) as boot_votes_attended,
            count(*) filter (where has_voted) as boot_votes_voted,
            count(*) filter (where has_lost_vote) as votes_lost,
            count(*) filter (where is_correct) as votes_correct,
            count(*) filter (where is_incorrect) as votes_incorrect,
            count(*) filter (where is_pre_merge) as pre_merge_tribals_attended,
            count(*) filter (where not is_pre_merge) as post_merge_tribals_attended,
            count(*) filter (where is_pre_merge and has_voted) as pre_merge_boot_votes_voted,
            count(*) filter (where not is_pre_merge and has_voted) as post_merge_boot_votes_voted,
            count(*) filter (where is_pre_merge and is_correct) as pre_merge_correct_votes,
            count(*) filter (where not is_pre_merge and is_correct) as post_merge_correct_votes
        from boot_votes
        group by {{ by | join(', ') }}
    ),

    per_first_round_ballot as (
        select
            {{ by | join(', ') }},
            count(*) as total_votes_cast,
            sum(in_majority_alliance) as majority_alliance_votes,
            coalesce(sum(voting_alone), 0) as lone_wolf_votes,
            avg(alignment_ratio order by boot_vote_number, ballot_no) as avg_vote_alignment
        from {{ votes }}
        where has_ballot and vote_round = 1
        group by {{ by | join(', ') }}
    )

    select
        per_boot_vote.*,
        coalesce(per_first_round_ballot.total_votes_cast, 0) as total_votes_cast,
        coalesce(per_first_round_ballot.majority_alliance_votes, 0) as majority_alliance_votes,
        coalesce(per_first_round_ballot.lone_wolf_votes, 0) as lone_wolf_votes,
        per_first_round_ballot.avg_vote_alignment
    from per_boot_vote
    left join per_first_round_ballot
        on {{ same_values('per_boot_vote', 'per_first_round_ballot', by) }}
{%- endmacro %}

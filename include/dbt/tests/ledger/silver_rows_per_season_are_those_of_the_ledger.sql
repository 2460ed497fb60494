-- A join that loses or repeats rows of one season hides in a total. If the change is meant: make ledger.

{{ config(severity='warn') }}

{{ ledger_differences('silver', [
    ref('advantage_strategy'),
    ref('castaway_profile'),
    ref('challenge_performance'),
    ref('edit_features'),
    ref('jury_analysis'),
    ref('season_context'),
    ref('social_positioning'),
    ref('vote_dynamics'),
]) }}

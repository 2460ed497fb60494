-- A join that loses or repeats rows of one season hides in a total. If the change is meant: make ledger.

{{ config(severity='warn') }}

{{ ledger_differences('gold', [
    ref('as_of_final_5'),
    ref('as_of_final_6'),
    ref('as_of_final_8'),
    ref('as_of_merge'),
    ref('as_of_pre_season'),
    ref('ml_features_as_of'),
    ref('ml_features_hybrid'),
    ref('ml_features_non_edit'),
]) }}

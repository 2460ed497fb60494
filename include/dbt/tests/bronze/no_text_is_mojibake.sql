-- Bytes of UTF-8 that were read as Latin-1 (JosÃ©), or lost. Our numbers do not depend on names: a warning.

{{ config(severity='warn') }}

{% for dataset in datasets_with_seasons() + [source('bronze', 'castaway_details')] -%}
{% for column in text_columns(dataset) if dataset.identifier != 'challenge_summary' -%}
select
    '{{ dataset.identifier }}.{{ column }}' as place,
    "{{ column }}" as text
from {{ dataset }}
where "{{ column }}" ~ '[ÃÂ][\u0080-\u00bf]|â€|\ufffd'
union all
{% endfor -%}
{% endfor -%}
select
    '' as place,
    '' as text
where false

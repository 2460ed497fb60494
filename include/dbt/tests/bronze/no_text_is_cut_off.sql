-- A column that was made too short holds many different texts of exactly its length; the longest of free texts are few.
-- Our numbers do not depend on names: a warning.

{{ config(severity='warn') }}

{% for dataset in datasets_with_seasons() + [source('bronze', 'castaway_details')] -%}
{% for column in text_columns(dataset) if dataset.identifier != 'challenge_summary' -%}
select
    '{{ dataset.identifier }}.{{ column }}' as place,
    max(text_length) as longest,
    count(*) filter (where is_longest) as texts_of_that_length
from (
    select
        length("{{ column }}") as text_length,
        length("{{ column }}") = max(length("{{ column }}")) over () as is_longest
    from {{ dataset }}
    where "{{ column }}" is not null
    group by "{{ column }}"
) as texts
having count(*) > 40 and count(*) filter (where is_longest) > 12
union all
{% endfor -%}
{% endfor -%}
select
    '' as place,
    0 as longest,
    0 as texts_of_that_length
where false

{#
    A row that the seed known_exceptions lists breaks its rule still, where it is there at all. Takes what
    exceptions_are_known takes; a row with a last_seen is there for older commits.
#}
{% test exceptions_still_occur(model, rule, row_key, violation) %}

select *
from {{ model }}
where
    ({{ violation }}) is not true
    and exists (
        select 1
        from {{ ref('known_exceptions') }} as known
        where
            known.rule = '{{ rule }}'
            and known.row_key = {{ row_key }}
            and known.last_seen is null
    )

{% endtest %}

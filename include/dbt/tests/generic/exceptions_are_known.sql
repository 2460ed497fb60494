{#
    Rows that break a rule because upstream does are listed, each with its reason, in the seed
    known_exceptions; a row that is not listed fails.

    rule        value of known_exceptions.rule
    row_key     SQL expression that gives the row's key as the seed writes it
    violation   SQL condition that holds for a row that breaks the rule
#}
{% test exceptions_are_known(model, rule, row_key, violation) %}

select *
from {{ model }}
where
    ({{ violation }})
    and not exists (
        select 1
        from {{ ref('known_exceptions') }} as known
        where known.rule = '{{ rule }}' and known.row_key = {{ row_key }}
    )

{% endtest %}

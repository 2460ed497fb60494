{#
    No two rows share the values of `columns`, among the rows that have them all.
#}
{% test unique_combination_where_known(model, columns) %}

select
    {{ columns | join(', ') }},
    count(*) as row_count
from {{ model }}
where {{ columns | join(' is not null and ') }} is not null
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}

{#
    `expression` has one value (or is null) in all rows of a group.

    by   the columns that name the group
#}
{% test single_value_per_group(model, expression, by) %}

select
    {{ by | join(', ') }},
    count(distinct {{ expression }}) as distinct_values
from {{ model }}
group by {{ by | join(', ') }}
having count(distinct {{ expression }}) > 1

{% endtest %}

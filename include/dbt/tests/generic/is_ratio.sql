{#
    A share: between 0 and 1, or null when its denominator is 0.
#}
{% test is_ratio(model, column_name) %}

select {{ column_name }}
from {{ model }}
where {{ column_name }} < 0 or {{ column_name }} > 1

{% endtest %}

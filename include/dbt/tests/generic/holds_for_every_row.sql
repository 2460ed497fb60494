{#
    `expression` is true for every row of the model; an unknown (null) result fails too, so the
    expression says itself what null means.
#}
{% test holds_for_every_row(model, expression) %}

select *
from {{ model }}
where ({{ expression }}) is not true

{% endtest %}

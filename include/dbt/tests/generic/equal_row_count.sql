{#
    The model has as many rows as `compare_to`: no join lost or multiplied one.
#}
{% test equal_row_count(model, compare_to) %}

select
    ours.row_count,
    theirs.row_count as compared_row_count
from (select count(*) as row_count from {{ model }}) as ours
cross join (select count(*) as row_count from {{ compare_to }}) as theirs
where ours.row_count != theirs.row_count

{% endtest %}

{#
    An aggregate of the model equals an aggregate of another relation, group by group: no join multiplied
    or lost what the model adds up.

    measure, compare_measure   SQL aggregates; `ours` and `theirs` name the two relations
    by, compare_by             the columns of the groups on either side, in the same order
#}
{% test same_totals(model, measure, compare_to, compare_measure, by, compare_by=none) %}

{%- set compare_by = compare_by or by %}

with ours as (
    select
        {% for column in by %}{{ column }} as group_{{ loop.index }}, {% endfor %}
        {{ measure }} as total
    from {{ model }} as ours
    group by {{ by | join(', ') }}
),

theirs as (
    select
        {% for column in compare_by %}{{ column }} as group_{{ loop.index }}, {% endfor %}
        {{ compare_measure }} as total
    from {{ compare_to }} as theirs
    group by {{ compare_by | join(', ') }}
)

select
    ours.*,
    theirs.total as compared_total
from ours
left join theirs
    on
        {% for _ in by %}ours.group_{{ loop.index }} = theirs.group_{{ loop.index }}
        {% if not loop.last %}and {% endif %}{% endfor %}
where ours.total is distinct from theirs.total

{% endtest %}

{#
    What the model takes over from a bronze dataset is still what bronze says, repairs aside: a table of an earlier
    release, a column that was filled from its neighbour, an id exchanged for another, a text cut off or a date a
    day off differs.

    Rows are compared as sets; that none is lost or repeated is asked by other tests.

    dataset            bronze dataset
    columns            columns of the model with the same name in the dataset; the key is among them
    renamed            {column of the model: column of the dataset}
    repaired_columns   {column of the dataset: its type}, those that the seed upstream_repairs corrects
    every_row          whether the model has all of the dataset, which a list of people may exceed
#}
{% test says_what_bronze_says(model, dataset, columns, renamed={}, repaired_columns={}, every_row=true) %}

{%- set pairs = [] %}
{%- for column in columns %}{% do pairs.append((column, column)) %}{% endfor %}
{%- for ours, theirs in renamed.items() %}{% do pairs.append((ours, theirs)) %}{% endfor %}

with bronze as (
    select distinct
        {% for ours, theirs in pairs -%}
        {% if theirs in repaired_columns -%}
        {{ repaired(dataset, theirs, 'theirs', repaired_columns[theirs]) }}
        {%- else -%}
        theirs."{{ theirs }}"
        {%- endif %} as {{ ours }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ source('bronze', dataset) }} as theirs
),

ours as (
    select distinct
        {% for ours, _ in pairs %}{{ ours }}{{ ', ' if not loop.last }}{% endfor %}
    from {{ model }} as ours
)

select
    'bronze does not say so' as problem,
    differing.*
from (select * from ours except select * from bronze) as differing
{%- if every_row %}

union all

select
    'only bronze says so' as problem,
    differing.*
from (select * from bronze except select * from ours) as differing
{%- endif %}

{% endtest %}

-- A table that an earlier load left behind is of another release. Public schemas, which make dbt reads, have no
-- number of their own: there all tables are of one.

{% set number = modules.re.search('_r([0-9]+)$', source('bronze', 'castaways').schema or '') -%}

with loaded as (
    {% for dataset in datasets_with_seasons() + [source('bronze', 'castaway_details')] -%}
    select distinct
        '{{ dataset.identifier }}' as dataset,
        _release_id
    from {{ dataset }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select *
from loaded
where
    _release_id is distinct from
    {% if number %}{{ number[1] }}{% else %}(select max(newest._release_id) from loaded as newest){% endif %}

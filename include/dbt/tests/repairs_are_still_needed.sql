-- A repair whose value upstream has changed no longer applies: look at the new value, then drop the row.

{{ config(severity='warn') }}

{% set row_keys = {'season_summary': 'version_season', 'castaway_details': 'full_name'} %}

with upstream as (
    {% for dataset, row_key in row_keys.items() -%}
    select
        '{{ dataset }}' as dataset,
        {{ row_key }} as row_key,
        to_jsonb(dataset) as contents
    from {{ source('bronze', dataset) }} as dataset
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select
    repairs.dataset,
    repairs.row_key,
    repairs.column_name,
    repairs.upstream_value,
    upstream.contents ->> repairs.column_name as value_now
from {{ ref('upstream_repairs') }} as repairs
left join upstream
    on
        repairs.dataset = upstream.dataset
        and repairs.row_key = upstream.row_key
where
    upstream.contents is null
    or repairs.upstream_value is distinct from upstream.contents ->> repairs.column_name

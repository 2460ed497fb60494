-- A repair whose value upstream has changed no longer applies: look at what upstream holds now, then date the row
-- anew (make repairs). Silent about repairs that upstream had retired when the seed was last dated, which are there
-- for past commits, and about seasons that a past commit does not have yet.

{{ config(severity='warn') }}

{% set row_keys = var('row_keys') %}

with repairs as (
    select
        *,
        -- The entry of row_keys that says how the row is named.
        case
            when dataset || '.' || column_name in ('{{ row_keys | join("', '") }}') then dataset || '.' || column_name
            else dataset
        end as row_key_of
    from {{ ref('upstream_repairs') }}
    where last_seen_commit = (select max(last_seen_commit) from {{ ref('upstream_repairs') }})
),

published as (
    {% for row_key_of in row_keys -%}
    {%- set dataset, _, column_name = row_key_of.partition('.') -%}
    select
        '{{ row_key_of }}' as row_key_of,
        {{ row_key(dataset, 'source_rows', column_name) }} as row_key,
        to_jsonb(source_rows) as contents
    from {{ source('bronze', dataset) }} as source_rows
    where
        {{ row_key(dataset, 'source_rows', column_name) }} in (
            select row_key from repairs
            where row_key_of = '{{ row_key_of }}'
        )
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

compared as (
    select
        repairs.dataset,
        repairs.row_key,
        repairs.column_name,
        repairs.upstream_value,
        repairs.our_value,
        case
            when repairs.column_name = 'copies' then cast(count(published.row_key) as text)
            when count(published.row_key) = 0 then 'no such row'
            else string_agg(distinct coalesce(published.contents ->> repairs.column_name, '<null>'), ' or ')
        end as value_now
    from repairs
    left join published
        on
            repairs.row_key_of = published.row_key_of
            and repairs.row_key = published.row_key
    group by 1, 2, 3, 4, 5
)

select *
from compared
where
    value_now is distinct from coalesce(upstream_value, '<null>')
    and (
        dataset = 'castaway_details'
        or split_part(row_key, '|', 1) in (select version_season from {{ source('bronze', 'season_summary') }})
    )

-- A repair whose value upstream has changed no longer applies: look at what upstream holds now, then date the row
-- anew (make repairs). Silent about repairs that upstream had retired when the seed was last dated, which are there
-- for past commits, about those that no model applies, and about what a season that is not over does not have yet.

{{ config(severity='warn') }}

{% set row_keys = var('row_keys') %}

with seed as (
    select * from {{ ref('upstream_repairs') }}
),

repairs as (
    select
        seed.*,
        -- The entry of row_keys that says how the row is named.
        case concat(seed.dataset, '.', seed.column_name)
            {% for row_key_of in row_keys if '.' in row_key_of -%}
            when '{{ row_key_of }}' then '{{ row_key_of }}'
            {% endfor -%}
            else seed.dataset
        end as row_key_of
    from seed
    where
        seed.applied_by is not null
        and seed.last_seen_commit = (select max(dated.last_seen_commit) from seed as dated)
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
            select repairs.row_key from repairs
            where repairs.row_key_of = '{{ row_key_of }}'
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
            when count(published.row_key) = 0 then 'no such row'
            when repairs.column_name = 'copies' then cast(count(published.row_key) as text)
            else string_agg(distinct coalesce(published.contents ->> repairs.column_name, '<null>'), ' or ')
        end as value_now
    from repairs
    left join published
        on
            repairs.row_key_of = published.row_key_of
            and repairs.row_key = published.row_key
    group by 1, 2, 3, 4, 5
)

select compared.*
from compared
left join {{ source('bronze', 'season_summary') }} as seasons
    on split_part(compared.row_key, '|', 1) = seasons.version_season
where
    compared.value_now is distinct from coalesce(compared.upstream_value, '<null>')
    and not (
        compared.value_now in ('no such row', '<null>')
        and seasons.winner_id is null
        -- Only people are named without their season.
        and compared.dataset != 'castaway_details'
    )

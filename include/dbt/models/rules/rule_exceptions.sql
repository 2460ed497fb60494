with rows_under_rules as (
    {% for topic in ['vote', 'challenge', 'castaway', 'advantage', 'stage', 'episode', 'season'] -%}
    select * from {{ ref(topic ~ '_rules') }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

known_exceptions as (
    select * from {{ ref('known_exceptions') }}
),

judged as (
    select
        rule,
        row_key,
        bool_or(is_broken) as is_broken,
        string_agg(found, '; ' order by found) filter (where is_broken) as found
    from rows_under_rules
    group by rule, row_key
),

final as (
    select
        judged.rule,
        judged.row_key,
        judged.is_broken,
        judged.found,
        known_exceptions.reason as known_reason
    from judged
    left join known_exceptions
        on
            judged.rule = known_exceptions.rule
            and judged.row_key = known_exceptions.row_key
    -- What upstream has mended stays listed, with its date, while commits that have it can still be loaded.
    where judged.is_broken or (known_exceptions.rule is not null and known_exceptions.last_seen is null)
)

select * from final

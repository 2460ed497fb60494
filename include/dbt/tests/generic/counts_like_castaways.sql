{#
    The share of a tribe that is like a castaway, counted a second time from the rows of the tribe.

    shares   {column of the share: column whose value the others share}
#}
{% test counts_like_castaways(model, shares) %}

{% for share, trait in shares.items() -%}
select
    ours.version_season,
    ours.sog_id,
    ours.castaway_id,
    '{{ share }}' as feature,
    ours.{{ share }} as in_silver,
    avg(cast(others.{{ trait }} = ours.{{ trait }} as integer)) as counted
from {{ model }} as ours
inner join {{ model }} as others
    on
        ours.version_season = others.version_season
        and ours.sog_id = others.sog_id
        and ours.tribe = others.tribe
where ours.{{ share }} is not null
group by ours.version_season, ours.sog_id, ours.castaway_id, ours.{{ share }}
having abs(ours.{{ share }} - avg(cast(others.{{ trait }} = ours.{{ trait }} as integer))) > 0.000001
{% if not loop.last %}union all{% endif %}
{% endfor %}

{% endtest %}

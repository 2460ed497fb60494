-- Two castaways whose ids were exchanged in castaways or in castaway_details have each other's age, gender and
-- origin. A name that only one of the two knows is no such case: names_share_a_word_with_details warns of it.

select
    castaways.version_season,
    castaways.castaway_id,
    castaways.full_name,
    people.full_name as full_name_in_details,
    namesakes.castaway_id as id_in_details
from {{ source('bronze', 'castaways') }} as castaways
inner join {{ ref('people') }} as people
    on castaways.castaway_id = people.castaway_id
inner join {{ ref('people') }} as namesakes
    on
        castaways.full_name = namesakes.full_name
        and castaways.castaway_id != namesakes.castaway_id
where castaways.full_name != people.full_name

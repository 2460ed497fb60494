-- One row per person: castaway_details under the id that castaways and all events use.

with castaway_details as (
    select * from {{ source('bronze', 'castaway_details') }}
),

final as (
    select
        {{ repaired('castaway_details', 'castaway_id', 'castaway_details', 'text') }} as castaway_id,
        castaway_details.full_name,
        castaway_details.date_of_birth,
        castaway_details.gender,
        castaway_details.african,
        castaway_details.asian,
        castaway_details.latin_american,
        castaway_details.native_american,
        castaway_details.bipoc,
        castaway_details.lgbt,
        castaway_details.race,
        castaway_details.ethnicity,
        castaway_details.personality_type,
        castaway_details.occupation,
        castaway_details.collar
    from castaway_details
)

select * from final

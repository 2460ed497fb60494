-- One row per person: castaway_details under the id that castaways and all events use.

with castaway_details as (
    select * from {{ source('bronze', 'castaway_details') }}
),

final as (
    select
        {{ repaired('castaway_details', 'castaway_id', 'castaway_details', 'text') }} as castaway_id,
        full_name,
        date_of_birth,
        gender,
        african,
        asian,
        latin_american,
        native_american,
        bipoc,
        lgbt,
        race,
        ethnicity,
        personality_type,
        occupation,
        collar
    from castaway_details
)

select * from final

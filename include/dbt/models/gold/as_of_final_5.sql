{{ config(materialized='view') }}

{{ those_left(5) }}

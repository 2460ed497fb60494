-- Upstream changed a season that was over: look at what it changed, then make ledger.

{{ config(severity='warn') }}

{{ ledger_differences('bronze', datasets_with_seasons()) }}

"""What Airflow's API server shows of the warehouse; `plugins/gamebot_console` puts it there.

Reads `ops`, through the same connection as the pipeline. Knows nothing of datasets, models or
checks, and never makes the API server wait for the warehouse.
"""

"""What Airflow's API server shows of the warehouse; `plugins/gamebot_console` puts it there.

Reads `ops`, the releases' tables and the artefacts, through the same connection as the pipeline,
and changes nothing itself: what somebody asks for becomes a run of a DAG. Never makes the API
server wait for the warehouse.
"""

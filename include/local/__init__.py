"""The stack without Docker: an embedded Postgres, an Airflow of one's own, one command line.

Starts and stops processes and shows what they do. Knows nothing of datasets, models or checks: it
triggers the same DAG that a deployment runs and reads the same `ops` tables.
"""

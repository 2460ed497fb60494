"""The data package: one release as files that people take away.

`build` reads a release from the warehouse, table by table, writes each as Parquet and into a DuckDB
and an SQLite file, reads all three again, and describes what is inside. Knows releases, bronze's
catalogue and dbt's manifest; nothing of Airflow, nor of where a finished package is kept.
"""

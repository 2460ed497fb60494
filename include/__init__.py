"""Everything the pipeline does, importable and testable without Airflow.

`dags/` wires these packages together and nothing here imports from `dags/` or `plugins/`.
"""

"""dbt as the pipeline runs it: the manifest, one build per release, a task per model.

Knows dbt and Cosmos and nothing of survivoR. Only `rendering` imports Airflow.
"""

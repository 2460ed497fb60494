"""The warehouse: who connects to it, what a release is, and how one is published.

Knows Postgres and nothing of survivoR, dbt, Soda, Great Expectations or Airflow's scheduler, so it
works unchanged in the Airflow and in the quality environment.
"""

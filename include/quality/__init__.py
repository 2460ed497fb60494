"""Audits: what must hold before a release may be published.

Soda checks bronze and silver (`soda/<layer>/<table>.yml`), Great Expectations checks gold
(`expectations/<table>.py`). Each runs as a program of its own in the quality environment and writes
what it found to `ops.check_results`; `run` is what the pipeline calls. Knows the warehouse and a
release's tables, neither Airflow nor dbt, and never changes what it audits.
"""

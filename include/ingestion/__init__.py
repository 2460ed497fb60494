"""Bronze: survivoR's tables, copied exactly from one version of one source into one release.

`catalog` says what each dataset must look like, `sources` finds and fetches the files, `reader`
turns a file into a data frame, `contract` refuses what would do harm and `load` writes the rest.
Knows nothing of Airflow, dbt or the layers above bronze, and repairs no value: that is silver's.
"""

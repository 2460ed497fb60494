FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12

# The base image has, by its ONBUILD steps, installed packages.txt and requirements.txt and copied the
# project. Python 3.12, because dbt 1.11 does not run on 3.14, which this Airflow's image has by default.

LABEL org.opencontainers.image.title="gamebot" \
      org.opencontainers.image.description="The Survivor data warehouse as an Airflow project" \
      org.opencontainers.image.licenses="MIT"

# Nothing here phones home: it tells others what runs, and stalls where nothing resolves.
ENV DO_NOT_TRACK=1 \
    SCARF_NO_ANALYTICS=true \
    DBT_SEND_ANONYMOUS_USAGE_STATS=false \
    GX_ANALYTICS_ENABLED=False \
    AIRFLOW__COSMOS__ENABLE_TELEMETRY=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False

ENV GAMEBOT_MANIFEST_DIR=/usr/local/gamebot/manifest \
    GAMEBOT_ARTIFACTS_URL=file:///usr/local/gamebot/artifacts

# Outside /usr/local/airflow, where the dev stack mounts the checkout over the image's files. Named
# volumes take owner and mode of the folder that they cover, so the artifacts' folder must exist.
USER root
RUN install --directory --owner=astro --group=0 --mode=0775 \
    /usr/local/gamebot /usr/local/gamebot/venvs /usr/local/gamebot/manifest /usr/local/gamebot/artifacts
USER astro

RUN UV_NO_CACHE=1 bash scripts/build_environments.sh --into /usr/local/gamebot/venvs dbt quality

# Parsed once here, so that no DAG processor has to run dbt to draw the models.
RUN python -m include.transformation.manifest

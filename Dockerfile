FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12

# The base image has, by its ONBUILD steps, installed packages.txt (empty: every Python dependency has a
# wheel) and requirements.txt, and copied what .dockerignore lets in. Python 3.12, because dbt 1.11 does
# not run on 3.14, which this Airflow's image has by default.

LABEL org.opencontainers.image.title="gamebot" \
      org.opencontainers.image.description="The Survivor data warehouse as an Airflow project" \
      org.opencontainers.image.licenses="MIT"

# Outside /usr/local/airflow, where the dev stack mounts the checkout over the image's files. Group 0 may
# write, since some platforms run containers as a user of their own choice in that group. Named volumes take
# owner and mode of the folder that they cover, so the artifacts' folder must exist.
USER root
RUN install --directory --owner=astro --group=0 --mode=0775 \
    /usr/local/gamebot /usr/local/gamebot/venvs /usr/local/gamebot/dbt /usr/local/gamebot/artifacts
USER astro

# A change of any file copied above brings this layer back, so what was downloaded is kept in a cache of the
# builder, not of the image. A sixth of its size would be tests that nobody runs here. Not those of all
# packages: what dbt has in folders of that name is no test.
RUN --mount=type=cache,id=gamebot-uv,target=/tmp/uv-cache,uid=50000,gid=0 \
    UV_CACHE_DIR=/tmp/uv-cache bash scripts/build_environments.sh --into /usr/local/gamebot/venvs dbt quality \
    && find /usr/local/gamebot/venvs/quality -type d -name tests -prune \
        \( -path '*/numpy/*' -o -path '*/pandas/*' -o -path '*/scipy/*' \) -exec rm -r {} +

# Nothing here phones home: it tells others what runs, and stalls where nothing resolves. Cosmos shows the
# pages of the models under Browse, and Rendered Templates the SQL of a model, of which Airflow would keep 4 kB.
ENV DO_NOT_TRACK=1 \
    SCARF_NO_ANALYTICS=true \
    DBT_SEND_ANONYMOUS_USAGE_STATS=false \
    GX_ANALYTICS_ENABLED=False \
    AIRFLOW__COSMOS__ENABLE_TELEMETRY=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False \
    AIRFLOW__CORE__MAX_TEMPLATED_FIELD_LENGTH=65536 \
    AIRFLOW__COSMOS__DBT_DOCS_PROJECTS='{"survivor": {"dir": "/usr/local/gamebot/dbt", "index": "docs.html", "name": "Survivor models (dbt)"}}' \
    GAMEBOT_MANIFEST_DIR=/usr/local/gamebot/dbt \
    GAMEBOT_ARTIFACTS_URL=file:///usr/local/gamebot/artifacts

# Made once here, so that no DAG processor has to run dbt to draw the models. Cosmos wants one name for its page.
RUN python -B -m include.transformation.manifest \
    && cd /usr/local/gamebot/dbt && ln --symbolic docs-*.html docs.html

"""The tables that outlive releases.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
create table ops.releases (
    release_id integer generated always as identity primary key,
    state text not null default 'building'
        check (state in ('building', 'audited', 'published', 'superseded', 'failed')),
    source_kind text not null check (source_kind in ('upstream', 'snapshot', 'directory')),
    source_version text not null,
    source_location text not null,
    source_commit text,
    source_fingerprint text not null,
    source_note text,
    code_fingerprint text not null,
    target_layer text not null check (target_layer in ('bronze', 'silver', 'gold')),
    triggered_by text not null,
    opened_at timestamptz not null default clock_timestamp(),
    built_at timestamptz,
    audited_at timestamptz,
    published_at timestamptz,
    closed_at timestamptz,
    pruned_at timestamptz,
    failure text
);

create table ops.published_layers (
    layer text primary key check (layer in ('bronze', 'silver', 'gold')),
    release_id integer not null references ops.releases,
    published_at timestamptz not null
);

create table ops.ingestion_runs (
    run_id integer generated always as identity primary key,
    release_id integer not null references ops.releases,
    source_kind text not null,
    source_version text not null,
    source_location text not null,
    source_note text,
    status text not null check (status in ('succeeded', 'failed')),
    datasets integer not null,
    rows bigint not null,
    started_at timestamptz not null,
    finished_at timestamptz not null,
    failure text
);

create table ops.dataset_versions (
    release_id integer not null references ops.releases,
    dataset text not null,
    source_kind text not null,
    source_version text not null,
    file_name text not null,
    sha256 text not null,
    etag text,
    size_bytes bigint not null,
    rows integer not null,
    columns integer not null,
    seasons integer,
    loaded_at timestamptz not null default clock_timestamp(),
    primary key (release_id, dataset)
);

create table ops.schema_drift (
    release_id integer not null references ops.releases,
    dataset text not null,
    column_name text,
    kind text not null check (kind in (
        'new_dataset', 'missing_dataset', 'unavailable_dataset',
        'new_column', 'missing_column', 'unavailable_column', 'retyped_column',
        'row_fall', 'season_fall'
    )),
    severity text not null check (severity in ('recorded', 'blocking')),
    detail text not null,
    detected_at timestamptz not null default clock_timestamp(),
    unique nulls not distinct (release_id, dataset, column_name, kind)
);

create table ops.check_results (
    release_id integer not null references ops.releases,
    tool text not null check (tool in ('dbt', 'soda', 'great_expectations')),
    check_id text not null,
    layer text not null check (layer in ('bronze', 'silver', 'gold')),
    table_name text not null,
    column_name text,
    description text not null,
    severity text not null check (severity in ('blocking', 'warning')),
    outcome text not null check (outcome in ('passed', 'warned', 'failed', 'error')),
    observed jsonb not null,
    message text,
    checked_at timestamptz not null default clock_timestamp(),
    primary key (release_id, tool, check_id)
);

comment on table ops.releases is 'Every release that was ever opened, and what became of it.';
comment on table ops.published_layers is 'The release that each public schema shows.';
comment on table ops.ingestion_runs is 'One row per attempt to load a release''s bronze layer.';
comment on table ops.dataset_versions is 'The exact upstream file behind each bronze table.';
comment on table ops.schema_drift is 'Differences between upstream and the dataset catalogue.';
comment on table ops.check_results is 'What dbt, Soda and Great Expectations found in a release.';
"""

GRANTS = """
grant select on all tables in schema ops to gamebot_loader, gamebot_transformer, gamebot_auditor;
grant insert, delete on ops.ingestion_runs, ops.dataset_versions, ops.schema_drift
    to gamebot_loader;
grant insert, delete on ops.check_results to gamebot_auditor;
"""

METADATA_VIEWS = """
create view bronze.ingestion_runs as select * from ops.ingestion_runs;
create view bronze.dataset_versions as select * from ops.dataset_versions;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(GRANTS)
    op.execute(METADATA_VIEWS)


def downgrade() -> None:
    raise NotImplementedError("ops is a record of what happened: restore a backup instead.")

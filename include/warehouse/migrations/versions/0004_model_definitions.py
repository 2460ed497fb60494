"""Which definition built each table of a release.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = """
create table ops.model_definitions (
    release_id integer not null references ops.releases,
    layer text not null check (layer in ('reference', 'silver', 'gold')),
    table_name text not null,
    fingerprint text not null,
    reads text[] not null,
    primary key (release_id, layer, table_name)
);
comment on table ops.model_definitions is
    'What each table and view of a release was made by and from, to tell whose a change is.';
comment on column ops.model_definitions.fingerprint is
    'Of the SQL and column types that dbt ran, the same in each release; of a seed, of its file.';
comment on column ops.model_definitions.reads is
    'The tables that it is made from, such as bronze.castaways.';
grant select on ops.model_definitions to gamebot_loader, gamebot_transformer, gamebot_auditor;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("ops is a record of what happened: restore a backup instead.")

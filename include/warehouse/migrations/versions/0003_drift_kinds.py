"""What the drift contract compares with the published release: R's types, and bronze itself.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"

CHANGES = """
alter table ops.dataset_versions add column r_types jsonb;
comment on column ops.dataset_versions.r_types is 'R''s type of each column in the file.';

alter table ops.schema_drift drop constraint schema_drift_kind_check;
alter table ops.schema_drift add constraint schema_drift_kind_check check (kind in (
    'new_dataset', 'missing_dataset', 'unavailable_dataset', 'retired_dataset',
    'new_column', 'missing_column', 'unavailable_column', 'retyped_column',
    'renamed_column', 'emptied_column',
    'row_fall', 'season_fall', 'renamed_season'
));

grant usage on schema bronze to gamebot_loader;
grant select on all tables in schema bronze to gamebot_loader;
alter default privileges for role gamebot_owner in schema bronze
    grant select on tables to gamebot_loader;
"""


def upgrade() -> None:
    op.execute(CHANGES)


def downgrade() -> None:
    raise NotImplementedError("ops is a record of what happened: restore a backup instead.")

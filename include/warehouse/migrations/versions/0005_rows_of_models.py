"""How many rows each table of silver and gold has, so that nobody need count them again.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"

COLUMN = """
alter table ops.model_definitions add column rows bigint;
comment on column ops.model_definitions.rows is
    'Rows that dbt wrote; null for a view, and in releases built before this was kept.';
"""


def upgrade() -> None:
    op.execute(COLUMN)


def downgrade() -> None:
    raise NotImplementedError("ops is a record of what happened: restore a backup instead.")

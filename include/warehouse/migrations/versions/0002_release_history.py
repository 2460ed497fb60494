"""Who a release was built for, whether it is at work, and what readers saw when.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"

RELEASES = """
alter table ops.releases
    add column is_replay boolean not null default false,
    add column run_type text,
    add column triggering_user text,
    add column active_at timestamptz not null default clock_timestamp();

update ops.releases
set active_at = greatest(opened_at, built_at, audited_at, published_at, closed_at);

comment on column ops.releases.is_replay is
    'Built to be looked at: published only when somebody asks for it by its number.';
comment on column ops.releases.run_type is
    'How Airflow came to start the run: scheduled, manual, asset_triggered ...';
comment on column ops.releases.active_at is 'When a stage last began or ended work on it.';
"""

EVENTS = """
create table ops.release_events (
    event_id integer generated always as identity primary key,
    release_id integer not null references ops.releases,
    event text not null check (event in ('published', 'rolled_back', 'dropped', 'kept')),
    layers text[] not null,
    happened_at timestamptz not null default clock_timestamp(),
    done_by text,
    login text default session_user,
    waited_seconds double precision,
    detail text
);
comment on table ops.release_events is
    'Every publication and rollback in order, and what became of the tables of old releases.';
comment on column ops.release_events.waited_seconds is
    'How long readers held the views before it could happen.';

-- What is known of the time before: rollbacks were not written down.
insert into ops.release_events (
    release_id, event, layers, happened_at, done_by, login, detail
)
select
    release_id,
    'published',
    case target_layer
        when 'bronze' then array['bronze']
        when 'silver' then array['bronze', 'silver']
        else array['bronze', 'silver', 'gold']
    end,
    published_at,
    triggered_by,
    null,
    'before this history was kept'
from ops.releases
where published_at is not null
order by published_at;

grant select on ops.release_events to gamebot_loader, gamebot_transformer, gamebot_auditor;
"""


def upgrade() -> None:
    op.execute(RELEASES)
    op.execute(EVENTS)


def downgrade() -> None:
    raise NotImplementedError("ops is a record of what happened: restore a backup instead.")

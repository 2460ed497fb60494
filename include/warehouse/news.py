"""What a release has that the one published before it had not: worth a look, no reason to stop."""

from __future__ import annotations

import psycopg


def release_news(connection: psycopg.Connection, release_id: int) -> list[str]:
    """Return a line for each check that warns, and each difference from the catalogue, that is new.

    Args:
        connection: acting as `gamebot_owner`.
        release_id: a release; compared with the newest one published before it. The first has no
            news, since all of it is, and a replay none, since all of it is old.
    """
    with connection.transaction():
        found = connection.execute(
            """
            with previous as (
                select max(release_id) as release_id
                from ops.releases
                where release_id < %(release)s and published_at is not null and not is_replay
            ),

            warnings as (
                select
                    release_id,
                    'warning: ' || table_name || ' - ' || description as subject,
                    coalesce(' (' || message || ')', '') as detail
                from ops.check_results
                where outcome = 'warned'
            ),

            drift as (
                select
                    release_id,
                    'upstream: ' || concat_ws('.', dataset, column_name) || ' - '
                    || replace(kind, '_', ' ') as subject,
                    ' (' || detail || ')' as detail
                from ops.schema_drift
            ),

            findings as (
                select * from warnings
                union all
                select * from drift
            )

            select distinct findings.subject || findings.detail
            from findings
            cross join previous
            where
                findings.release_id = %(release)s
                and findings.release_id not in (select release_id from ops.releases where is_replay)
                and previous.release_id is not null
                and findings.subject not in (
                    select known.subject from findings as known
                    where known.release_id = previous.release_id
                )
            order by 1
            """,
            {"release": release_id},
        ).fetchall()
    return [line for (line,) in found]

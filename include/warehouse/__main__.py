"""`python -m include.warehouse`: prepare a database; list its releases, and show another one.

For wherever make is not: a shell in a container, or a machine from which the warehouse can be
reached. `--grant-to LOGIN` prepares the database that `DB_*` names.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from typing import Annotated, Literal

import psycopg
import typer

from include.warehouse.bootstrap import PIPELINE_ROLES, NotBootstrapped, bootstrap
from include.warehouse.connection import ConnectionSettings, MissingSetting
from include.warehouse.history import list_events
from include.warehouse.publication import PublicationBlocked
from include.warehouse.releases import (
    ReleaseError,
    list_releases,
    publish_replay,
    roll_back,
)
from include.warehouse.schemas import OWNER, Layer

EVENTS_SHOWN = 10

# What a person can do something about; everything else is a bug and deserves its stack trace.
EXPECTED_ERRORS = (
    MissingSetting,
    NotBootstrapped,
    PublicationBlocked,
    ReleaseError,
    psycopg.errors.InsufficientPrivilege,
    psycopg.OperationalError,
)

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
ReleaseNumber = Annotated[int, typer.Argument(help="Number of the release.")]


@app.callback(invoke_without_command=True)
def prepare(
    context: typer.Context,
    grant_to: Annotated[
        str | None, typer.Option(help="An existing login that is to act as the pipeline.")
    ] = None,
    role: Annotated[
        Literal["owner", "loader", "transformer", "auditor", "reader"] | None,
        typer.Option(help="Grant this role alone, instead of all that the pipeline acts as."),
    ] = None,
) -> None:
    """Create roles, schemas, grants and ops tables; safe to repeat."""
    if context.invoked_subcommand:
        return
    settings = ConnectionSettings.from_environment()
    bootstrap(settings, grant_to, [f"gamebot_{role}"] if role else PIPELINE_ROLES)
    typer.echo(f"{settings.dbname} on {settings.host}:{settings.port} is ready.")


@app.command()
def releases() -> None:
    """List the releases, newest first, and what readers saw."""
    with login().connect(role=OWNER) as connection:
        found, events = list_releases(connection), list_events(connection)[:EVENTS_SHOWN]
    for release in found:
        state = f"{release.state}, replay" if release.is_replay else release.state
        gone = "its tables are gone" if release.pruned_at else ""
        seen = f"readers see {', '.join(release.shown_layers)}" if release.shown_layers else ""
        source = f"{release.source_kind} {release.source_version[:12]}"
        notes = [f"{release.opened_at:%Y-%m-%d %H:%M}", state, source, seen, gone]
        typer.echo("  ".join([f"{release.release_id:>6}", *filter(None, notes)]))
    for event in events:
        typer.echo(
            f"{event.happened_at:%Y-%m-%d %H:%M:%S}  {event.event.replace('_', ' ')}: release "
            f"{event.release_id}, {', '.join(event.layers)}, by {event.done_by or event.login}"
        )


@app.command()
def rollback(release: ReleaseNumber) -> None:
    """Show readers an earlier release again."""
    _show(release, roll_back)


@app.command()
def publish(release: ReleaseNumber) -> None:
    """Show readers a replay."""
    _show(release, publish_replay)


def _show(release: int, show: Callable[..., tuple[Layer, ...]]) -> None:
    with login().connect(role=OWNER) as connection:
        layers = show(connection, release, done_by=getpass.getuser())
    typer.echo(f"Readers see release {release} in {', '.join(layers)}.")


def login() -> ConnectionSettings:
    """Return the login of `DB_*`, or inside Airflow that of its connection."""
    if os.environ.get("DB_HOST"):
        return ConnectionSettings.from_environment()
    try:
        return ConnectionSettings.from_airflow()
    except MissingSetting as error:
        raise MissingSetting(
            f"{error} Outside Airflow, set DB_HOST, DB_PORT, DB_NAME, DB_USER and DB_PASSWORD to "
            "the pipeline's login instead."
        ) from None


def main() -> None:
    """Run the command line."""
    try:
        app()
    except EXPECTED_ERRORS as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""`python -m include.warehouse --grant-to LOGIN`: prepare the database that `DB_*` names."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from include.warehouse.bootstrap import PIPELINE_ROLES, bootstrap
from include.warehouse.connection import ConnectionSettings


def main(
    grant_to: Annotated[
        str | None, typer.Option(help="An existing login that is to act as the pipeline.")
    ] = None,
    role: Annotated[
        Literal["owner", "loader", "transformer", "auditor", "reader"] | None,
        typer.Option(help="Grant this role alone, instead of all that the pipeline acts as."),
    ] = None,
) -> None:
    """Create roles, schemas, grants and ops tables; safe to repeat."""
    settings = ConnectionSettings.from_environment()
    bootstrap(settings, grant_to, [f"gamebot_{role}"] if role else PIPELINE_ROLES)
    typer.echo(f"{settings.dbname} on {settings.host}:{settings.port} is ready.")


if __name__ == "__main__":
    typer.run(main)

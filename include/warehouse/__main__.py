"""`python -m include.warehouse --grant-to LOGIN`: prepare the database that `DB_*` names."""

from __future__ import annotations

from typing import Annotated

import typer

from include.warehouse.bootstrap import bootstrap
from include.warehouse.connection import ConnectionSettings


def main(
    grant_to: Annotated[
        str | None, typer.Option(help="Login of the pipeline's connection, when it is another one.")
    ] = None,
) -> None:
    """Create roles, schemas, grants and ops tables; safe to repeat."""
    settings = ConnectionSettings.from_environment()
    bootstrap(settings, grant_to)
    typer.echo(f"{settings.dbname} on {settings.host}:{settings.port} is ready.")


if __name__ == "__main__":
    typer.run(main)

"""`python -m include.comparison`: what differs between two releases, wherever make is not."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import psycopg
import typer
from rich.console import Console
from rich.markdown import Markdown

from include.comparison.compare import choose_releases, compare_releases
from include.comparison.markdown import as_markdown
from include.comparison.models import ReleaseComparison
from include.warehouse.__main__ import EXPECTED_ERRORS, login
from include.warehouse.schemas import OWNER

Format = Literal["text", "json"]


def compare(
    older: Annotated[
        int | None, typer.Argument(help="Number of the release before; else what readers saw.")
    ] = None,
    newer: Annotated[
        int | None, typer.Argument(help="Number of the release after; else what readers see.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="For people, or as data for programs.")
    ] = "text",
) -> None:
    """Tell what differs between two releases, and whether upstream or we did it."""
    with login().connect(role=OWNER) as connection:
        comparison = compare_releases(connection, *choose_releases(connection, older, newer))
    if form == "json":
        print(comparison.model_dump_json(indent=2))
    else:
        show(comparison, Console())


def show(comparison: ReleaseComparison, console: Console) -> None:
    """Print a comparison: laid out in a terminal, as it is into a file."""
    document = as_markdown(comparison)
    if console.is_terminal:
        console.print(Markdown(document))
    else:
        print(document, end="")


def main() -> None:
    """Run the command line."""
    try:
        typer.run(compare)
    except EXPECTED_ERRORS as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except psycopg.errors.UndefinedTable as error:
        typer.echo(f"error: the database is not prepared ({error.diag.message_primary})", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

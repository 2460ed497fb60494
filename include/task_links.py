"""Buttons on the page of a task, to what the console shows of its release."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink
from structlog.contextvars import get_contextvars

from include.run_notes import release_page


class ReleaseLink(BaseOperatorLink):
    """To the release that a task works on."""

    name = "Release"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002
        """Return its page. Airflow asks when the task ends, in its own process."""
        release_id = get_contextvars().get("release_id")
        return release_page(release_id) if release_id is not None else ""


class DataDocsLink(ReleaseLink):
    """To what Great Expectations found in it."""

    name = "Data Docs"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return their first page."""
        page = super().get_link(operator, ti_key=ti_key)
        return page and f"{page}/artefacts/great_expectations"


def linked(*links: BaseOperatorLink) -> Callable[[Any], Any]:
    """Put links on a task of TaskFlow, which takes none itself: to be written above `@task`."""

    def link(decorated: Any) -> Any:
        @wraps(decorated.function)
        def make(*arguments: Any, **options: Any) -> Any:
            made = decorated(*arguments, **options)
            made.operator.operator_extra_links = links
            return made

        make.function = decorated.function  # type: ignore[attr-defined]
        return make

    return link

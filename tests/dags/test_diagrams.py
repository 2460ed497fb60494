"""The diagrams of docs/architecture.md show the tasks, modules and tables that there are."""

from __future__ import annotations

from graphlib import CycleError

import pytest

from scripts import diagrams

pytestmark = pytest.mark.dags


@pytest.mark.skipif(not diagrams.DOCUMENT.exists(), reason="the image has no documents")
def test_architecture_shows_what_the_code_is() -> None:
    text = diagrams.DOCUMENT.read_text(encoding="utf-8")
    assert len(diagrams.DIAGRAM.findall(text)) == 3
    assert diagrams.drawn(text) == text, "run make diagrams, and look at the difference"


def test_modules_depend_one_way() -> None:
    """A module that its own foundation imports can neither be tested nor replaced alone."""
    imports = diagrams.modules()
    diagrams.reduced(imports)
    assert "dags" not in set().union(*imports.values())
    with pytest.raises(CycleError):
        diagrams.reduced(imports | {"warehouse": {"pipeline"}})


def test_an_edge_that_a_longer_way_implies_is_left_out() -> None:
    graph = {"a": {"b", "c"}, "b": {"c"}}
    assert diagrams.reduced(graph) == {"a": {"b"}, "b": {"c"}, "c": set()}

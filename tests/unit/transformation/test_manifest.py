"""A manifest belongs to one state of the dbt project and is never used for another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.transformation import manifest


def node(name: str, resource_type: str, **more: object) -> dict[str, object]:
    return {
        "config": {"materialized": "table"},
        "depends_on": {"macros": [], "nodes": []},
        "description": f"What {name} is",
        "fqn": ["survivor", name],
        "original_file_path": f"models/{name}.sql",
        "package_name": "survivor",
        "raw_code": "select 1",
        "resource_type": resource_type,
        "tags": [],
        **more,
    }


PARSED = {
    "metadata": {"project_name": "survivor", "invocation_id": "7"},
    "nodes": {
        "model.survivor.votes": node("votes", "model"),
        "seed.survivor.repairs": node("repairs", "seed"),
        "test.survivor.unique_votes": node("unique_votes", "test"),
    },
    "macros": {"macro.survivor.big": {"macro_sql": "…"}},
    "exposures": {"exposure.survivor.page": {}},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dbt project, and a dbt that notes each time it is started."""
    folder = tmp_path / "project"
    (folder / "models" / "silver").mkdir(parents=True)
    (folder / "models" / "silver" / "votes.sql").write_text("select 1")
    (folder / "dbt_project.yml").write_text("name: survivor")
    dbt = tmp_path / "env" / "bin" / "dbt"
    dbt.parent.mkdir(parents=True)
    dbt.write_text(
        "#!/bin/sh\n"
        f'echo "$2" >> {tmp_path}/starts\n'
        "command=$2\n"
        'while [ "$1" != --target-path ]; do shift; done\n'
        f'[ "$command" = parse ] && cp {tmp_path}/parsed.json "$2/manifest.json"\n'
        '[ "$command" != docs ] || cp "$2/manifest.json" "$2/static_index.html"\n'
    )
    dbt.chmod(0o755)
    (tmp_path / "parsed.json").write_text(json.dumps(PARSED))
    monkeypatch.setattr(manifest, "DBT_PROJECT_DIR", folder)
    monkeypatch.setenv("GAMEBOT_DBT_ENV", str(tmp_path / "env"))
    monkeypatch.setenv("GAMEBOT_MANIFEST_DIR", str(tmp_path / "manifests"))
    return folder


def starts(project: Path) -> int:
    return len((project.parent / "starts").read_text().splitlines())


def test_dbt_parses_once_for_one_state_of_the_project(project: Path) -> None:
    assert manifest.manifest_path() == manifest.manifest_path()
    assert starts(project) == 1
    assert manifest.manifest_path().parent == project.parent / "manifests"


@pytest.mark.parametrize("change", ["edited", "added", "renamed"])
def test_a_changed_project_gets_a_manifest_of_its_own(project: Path, change: str) -> None:
    stale = manifest.manifest_path()
    model = project / "models" / "silver" / "votes.sql"
    if change == "edited":
        model.write_text("select 2")
    elif change == "added":
        (model.parent / "castaways.sql").write_text("select 1")
    else:
        model.rename(model.with_name("ballots.sql"))
    assert manifest.manifest_path() != stale
    assert starts(project) == 2


def test_an_image_that_cannot_be_written_falls_back_to_the_temporary_directory(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image holds a manifest; a deploy of DAG files alone must not need another one."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAMEBOT_MANIFEST_DIR", str(tmp_path / "file" / "manifests"))
    monkeypatch.setattr(manifest.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    assert manifest.manifest_path().is_relative_to(tmp_path / "temporary")


def test_docs_are_kept_and_made_anew_like_the_manifest(project: Path) -> None:
    docs = manifest.docs_path()
    assert docs == manifest.docs_path() and docs.name.startswith("docs-")
    assert (project.parent / "starts").read_text().split() == ["parse", "docs"]
    (project / "models" / "silver" / "votes.yml").write_text("description: a ballot")
    assert manifest.docs_path() != docs


def test_the_graph_holds_what_is_drawn_and_is_made_from_the_manifest(project: Path) -> None:
    """Each task reads it: of three megabytes most was tests, macros and code."""
    graph = manifest.graph_path()
    assert graph == manifest.graph_path() and graph.name.startswith("graph-")
    assert manifest.manifest_path().exists() and starts(project) == 1
    nodes = json.loads(graph.read_text())["nodes"]
    assert nodes.keys() == {"model.survivor.votes", "seed.survivor.repairs"}
    assert nodes["model.survivor.votes"]["description"] == "What votes is"
    assert "raw_code" not in nodes["model.survivor.votes"]
    (project / "models" / "silver" / "votes.sql").write_text("select 2")
    assert manifest.graph_path() != graph and starts(project) == 2


def test_another_dbt_makes_another_manifest(project: Path) -> None:
    before = manifest.project_fingerprint()
    (project / "requirements.lock").write_text("dbt-core==1.11.17")
    assert manifest.project_fingerprint() != before


def test_where_nothing_can_be_written_the_setting_is_named(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only file system with changed models, and no /tmp."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAMEBOT_MANIFEST_DIR", str(tmp_path / "file" / "manifests"))
    monkeypatch.setattr(manifest.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(OSError, match="Let GAMEBOT_MANIFEST_DIR name a folder"):
        manifest.manifest_path()


def test_what_a_build_leaves_in_the_project_does_not_count(project: Path) -> None:
    before = manifest.project_fingerprint()
    (project / "target").mkdir()
    (project / "target" / "run_results.json").write_text("{}")
    assert manifest.project_fingerprint() == before

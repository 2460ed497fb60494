"""What GitHub runs: who gets the token of Astro, and what a push to main deploys."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in job.get("steps", [])]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_no_step_but_the_deploy_gets_a_secret(workflow: Path) -> None:
    """A token in the environment of a whole job is at the mercy of every test that it runs."""
    with_secret = [step for step in steps(workflow) if "secrets." in str(step)]
    assert str(yaml.safe_load(workflow.read_text())).count("secrets.") == len(with_secret)
    assert all(step["uses"].startswith("astronomer/deploy-action@") for step in with_secret)


@pytest.mark.parametrize("name", ["deploy.yml", "preview.yml"])
def test_a_fork_deploys_nothing(name: str) -> None:
    """Whoever forks the project would see a red cross after every push."""
    text = (PROJECT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    for job in yaml.safe_load(text)["jobs"].values():
        if any("ASTRO_API_TOKEN" in str(step) for step in job.get("steps", [])):
            assert job["if"].startswith(
                ("vars.ASTRO_DEPLOYMENT_ID != ''", "vars.ASTRO_PREVIEW_BASE")
            )
            assert job["environment"], "protection rules belong to an environment"


class Repository:
    """A clone, as the workflow sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._git("init", "--quiet")

    def push(self, **files: str) -> str:
        """Commit these files and return the commit."""
        for name, content in files.items():
            path = self._folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self._git("add", "--all")
        author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        self._git(*author, "commit", "--quiet", "--message", "a push")
        return self._git("rev-parse", "HEAD")

    def deploy_type(self, *deployed: str) -> str:
        """Ask what the workflow asks."""
        return self._run(str(PROJECT / ".ci" / "deploy_type"), *deployed)

    def _git(self, *arguments: str) -> str:
        return self._run("git", *arguments)

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()


def test_a_change_of_the_image_is_deployed_although_its_own_push_failed_its_tests(
    tmp_path: Path,
) -> None:
    """The next push changed a DAG only, so only that was deployed, without what it needed."""
    repository = Repository(tmp_path)
    deployed = repository.push(dags__dag="1", include__code="1")
    repository.push(include__code="2")
    repository.push(dags__dag="2")
    assert repository.deploy_type(deployed) == "image-and-dags"


def test_dags_alone_are_deployed_when_nothing_else_changed_since_the_last_deploy(
    tmp_path: Path,
) -> None:
    repository = Repository(tmp_path)
    repository.push(dags__dag="1", include__code="1")
    deployed = repository.push(include__code="2")
    repository.push(dags__dag="2")
    assert repository.deploy_type(deployed) == "infer"
    # A folder of that name elsewhere is none of Airflow's.
    repository.push(tests__dags__test="1")
    assert repository.deploy_type(deployed) == "image-and-dags"


def test_the_image_is_deployed_when_nobody_knows_what_was_deployed_last(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.push(dags__dag="1")
    for deployed in ([], [""], ["0" * 40], ["no commit"]):
        assert repository.deploy_type(*deployed) == "image-and-dags"

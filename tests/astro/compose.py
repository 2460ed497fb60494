"""As much of Docker Compose as the project's override uses, on podman.

An unknown key stops the test: what is not carried out here would not be proved either.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.astro.podman import RUN, podman

SERVICE_KEYS = {
    "image", "command", "user", "restart", "networks", "environment", "ports", "volumes",
    "depends_on", "healthcheck",
}  # fmt: skip
NETWORK = "airflow"


def merged(
    services: Mapping[str, Mapping[str, Any]], override: Path
) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """Return the services with those of an override file, and the volumes that it declares."""
    text = override.read_text(encoding="utf-8")
    # From the shell's variables alone: compose reads no .env for the CLI.
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: os.environ.get(found[1]) or found[2], text)
    content = yaml.safe_load(text)
    assert set(content) <= {"services", "volumes"}, content.keys()
    result = {name: dict(service) for name, service in services.items()}
    for name, more in content["services"].items():
        assert set(more) <= SERVICE_KEYS, f"{name}: {set(more) - SERVICE_KEYS}"
        service = result.setdefault(name, {})
        for key, value in more.items():
            if key == "environment":
                service[key] = {**service.get(key, {}), **value}
            elif key in ("volumes", "ports"):
                service[key] = [*service.get(key, []), *value]
            else:
                service[key] = value
    return result, set(content["volumes"])


@dataclass
class Stack:
    """Containers, a network and volumes whose names begin with the project's."""

    project: str
    services: Mapping[str, Mapping[str, Any]]
    env_file: Path
    volumes: set[str] = field(default_factory=set)

    def create(self) -> None:
        """Make the network, after removing what an earlier run may have left."""
        self.kill()
        podman("network", "create", self._network)

    def container(self, name: str) -> str:
        """Return the name of a service's container."""
        return f"{self.project}-{name}-1"

    def start(self, name: str, *options: str, detach: bool = True) -> str:
        """Start a service when those that it depends on are healthy; returns what it printed."""
        service = self.services[name]
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            self.wait_until_healthy(other)
        arguments = [
            *("run", *RUN, "--name", self.container(name)),
            *("--network", self._network, "--network-alias", name),
            *(f"--volume={self._volume(volume)}" for volume in service.get("volumes", [])),
            *(f"--publish={port}" for port in service.get("ports", [])),
        ]
        if detach:
            arguments.append("--detach")
        if "user" in service:
            arguments += ["--user", service["user"], "--env-file", str(self.env_file)]
        arguments += [f"--env={key}={value}" for key, value in service["environment"].items()]
        if check := service.get("healthcheck"):
            arguments += [
                f"--health-cmd={json.dumps(check['test'])}",
                f"--health-interval={check['interval']}",
                f"--health-timeout={check['timeout']}",
                f"--health-retries={check['retries']}",
            ]
        command = service.get("command", [])
        return podman(*arguments, *options, service["image"], *command).stdout

    def wait_until_healthy(self, name: str) -> None:
        """Run a service's own health check as often as it may fail."""
        check = self.services[name]["healthcheck"]
        for _ in range(check["retries"]):
            # By hand, since podman leaves it to systemd, which not every machine has.
            outcome = podman("healthcheck", "run", self.container(name), check=False)
            if outcome.returncode == 0:
                return
            time.sleep(int(check["interval"].removesuffix("s")))
        raise AssertionError(f"{name} is unhealthy:\n{self.log(name)}")

    def log(self, name: str) -> str:
        """Return the last lines of a service."""
        done = podman("logs", "--tail", "60", self.container(name), check=False)
        return done.stdout + done.stderr

    def execute(self, name: str, *command: str) -> str:
        """Run a command in a service's container."""
        return podman("exec", self.container(name), *command).stdout

    def kill(self) -> None:
        """Remove containers, volumes and network."""
        for name in reversed(self.services):
            podman("rm", "--force", "--time", "5", "--volumes", self.container(name), check=False)
        for volume in {"postgres_data", "airflow_logs", *self.volumes}:
            podman("volume", "rm", "--force", f"{self.project}_{volume}", check=False)
        podman("network", "rm", "--force", self._network, check=False)

    @property
    def _network(self) -> str:
        return f"{self.project}_{NETWORK}"

    def _volume(self, volume: str) -> str:
        return volume if volume.startswith("/") else f"{self.project}_{volume}"

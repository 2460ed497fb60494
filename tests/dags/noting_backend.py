"""A secrets backend that notes whoever asks it."""

from __future__ import annotations

from airflow.secrets import BaseSecretsBackend

ASKED: list[str] = []


class NotingBackend(BaseSecretsBackend):
    """Knows no secret."""

    def get_connection(self, conn_id: str, team_name: str | None = None) -> None:
        ASKED.append(f"connection {conn_id}")

    def get_variable(self, key: str, team_name: str | None = None) -> None:
        ASKED.append(f"variable {key}")

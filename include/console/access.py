"""Who may see the console, and who may do what: Airflow decides, here it is asked."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.dag import DagModel
from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from include.console.words import PIPELINE

ROLLBACK = "survivor_release_rollback"
AUDIT = "survivor_release_audit"
STARTED_HERE = (ROLLBACK, AUDIT)


class Viewer(BaseModel):
    """Who looks, and which DAGs Airflow would let them start."""

    model_config = ConfigDict(frozen=True)

    user_id: str
    name: str
    may_start: frozenset[str]
    paused: frozenset[str]
    """Of these, the DAGs whose runs would wait until somebody unpauses them."""

    @property
    def may_show(self) -> bool:
        """Whether they may let readers see another release."""
        return ROLLBACK in self.may_start

    @property
    def may_audit(self) -> bool:
        """Whether they may have a release audited again."""
        return AUDIT in self.may_start


def _viewer(user: GetUserDep, session: SessionDep) -> Viewer:
    known = session.execute(
        select(DagModel.dag_id, DagModel.is_paused).where(
            DagModel.dag_id.in_(STARTED_HERE), DagModel.is_stale.is_(False)
        )
    ).all()
    allowed = {dag_id: is_paused for dag_id, is_paused in known if _may_start(user, dag_id)}
    return Viewer(
        user_id=str(user.get_id()),
        name=user.get_name(),
        may_start=frozenset(allowed),
        paused=frozenset(dag_id for dag_id, is_paused in allowed.items() if is_paused),
    )


def _may_start(user: GetUserDep, dag_id: str) -> bool:
    """Ask as Airflow's API does when a run is to be started."""
    return get_auth_manager().is_authorized_dag(
        method="POST",
        access_entity=DagAccessEntity.RUN,
        details=DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)),
        user=user,
    )


# Whoever may read the pipeline's runs in Airflow may read what they made.
may_read = Depends(requires_access_dag("GET", DagAccessEntity.RUN, PIPELINE))

ViewerDep = Annotated[Viewer, Depends(_viewer)]


def login_url(request: Request) -> str:
    """Return Airflow's page for signing in, which leads back to the page asked for."""
    page = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"{airflow_root(request)}/api/v2/auth/login?next={quote(page, safe='')}"


def airflow_root(request: Request) -> str:
    """Return the path below which Airflow is, without a slash at its end."""
    root: str = request.scope.get("app_root_path", "")
    return root.rstrip("/")

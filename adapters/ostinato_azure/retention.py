"""What ``purge_after`` asks for: finished instances are forgotten when their time is up.

Azure has nothing of the kind, so a timer looks for them once an hour.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from ostinato.app import App
from ostinato.client import InstanceStatus, Query
from ostinato.definitions import Registry
from ostinato.errors import InstanceExistsError, InstanceNotFoundError
from ostinato_azure.claims import app_claims
from ostinato_azure.client import AzureClient

TIMER = "2 17 * * * *"
"""Once an hour, not when everybody else's timers run."""

MOST = 1_000
"""Instances that one run forgets at most; the others are for the next."""


def least_time(registry: Registry) -> timedelta | None:
    """Return how long instances are kept that are kept least; None where all are for ever."""
    kept = [d.purge_after for d in registry.orchestrations() if d.purge_after is not None]
    return timedelta(seconds=min(kept)) if kept else None


def forget_expired(now: datetime, binding: str, app: App) -> int:
    """Forget instances whose time is up, and their children; return how many there were.

    Args:
        now: The time.
        binding: That of the durable client.
        app: The application.

    Raises:
        AzureError: The app's own management API does not answer.
    """
    client = AzureClient.from_binding(binding, app=app, claims=app_claims())
    try:
        return sum(_forget(client, found) for found in _expired(client, app.registry, now)[:MOST])
    finally:
        client.close()


def _expired(client: AzureClient, registry: Registry, now: datetime) -> list[str]:
    least = least_time(registry)
    if least is None:
        return []
    query = Query(status=("Completed", "Failed", "Terminated"), created_to=now - least)
    expired: list[str] = []
    while True:
        page = client.list_instances(query)
        expired += [i.instance_id for i in page.instances if _is_over(i, registry, now)]
        if page.next_page is None:
            return expired
        query = msgspec.structs.replace(query, page=page.next_page)


def _is_over(status: InstanceStatus, registry: Registry, now: datetime) -> bool:
    definition = registry.orchestration(status.name, status.version)
    if definition is None or definition.purge_after is None:
        return False
    return status.updated_at + timedelta(seconds=definition.purge_after) <= now


def _forget(client: AzureClient, instance_id: str) -> int:
    try:
        return client.purge(instance_id)
    except (InstanceNotFoundError, InstanceExistsError):
        return 0  # with its parent, or it was started again

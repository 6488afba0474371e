"""What ``purge_after`` asks for: finished instances are forgotten when their time is up.

Azure has nothing of the kind, so a timer looks for them once an hour.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ostinato.client import InstanceStatus, Query, pages
from ostinato.definitions import Registry
from ostinato.errors import InstanceExistsError, InstanceNotFoundError, OstinatoError
from ostinato_azure.client import AzureClient

TIMER = "2 17 * * * *"
"""Once an hour, not when everybody else's timers run."""

MOST = 1_000
"""Instances that one run forgets at most; the others are for the next."""


def least_time(registry: Registry) -> timedelta | None:
    """Return how long instances are kept that are kept least; None where all are for ever."""
    kept = [d.purge_after for d in registry.orchestrations() if d.purge_after is not None]
    return timedelta(seconds=min(kept)) if kept else None


def forget_expired(now: datetime, client: AzureClient, registry: Registry) -> int:
    """Forget instances whose time is up, and their children; return how many there were.

    Args:
        now: The time.
        client: Of the function app.
        registry: What the application declares.

    Raises:
        OstinatoError: One could not be forgotten; the first such error, after all others were
            tried.
    """
    count, failed = 0, None
    for instance_id in _expired(client, registry, now):
        try:
            count += client.purge(instance_id)
        except (InstanceNotFoundError, InstanceExistsError):
            continue  # forgotten with its parent, or started again
        except OstinatoError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return count


def _expired(client: AzureClient, registry: Registry, now: datetime) -> list[str]:
    least = least_time(registry)
    if least is None:
        return []
    query = Query(status=("Completed", "Failed", "Terminated"), created_to=now - least)
    expired: list[str] = []
    for page in pages(client, query):
        expired += [i.instance_id for i in page.instances if _is_over(i, registry, now)]
        if len(expired) >= MOST:
            break
    return expired[:MOST]


def _is_over(status: InstanceStatus, registry: Registry, now: datetime) -> bool:
    kept = _kept_for(status, registry)
    return kept is not None and status.updated_at + timedelta(seconds=kept) <= now


def _kept_for(status: InstanceStatus, registry: Registry) -> float | None:
    """Seconds for which an instance is kept; None is for ever, or not ours to say.

    The version may be told by nothing but a marker in the history, which a list has not: then it
    is the longest time of all versions.
    """
    versions = [d for d in registry.orchestrations() if d.name == status.name]
    told = [d for d in versions if d.version == status.version]
    times = [d.purge_after for d in told or versions]
    return None if not times or None in times else max(t for t in times if t is not None)

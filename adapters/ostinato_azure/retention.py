"""What ``purge_after`` asks for: finished instances are forgotten when their time is up.

Azure has nothing of the kind, so a timer looks for them once an hour.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Lock

from ostinato.client import InstanceStatus, Query, pages
from ostinato.definitions import Registry
from ostinato.errors import InstanceExistsError, InstanceNotFoundError, OstinatoError
from ostinato_azure.client import AzureClient

TIMER = "2 17 * * * *"
"""Once an hour, not when everybody else's timers run."""

LASTS = 240.0
"""Seconds after which a run leaves the others to the next; a Consumption plan gives it 300."""

AT_A_TIME = 8
"""Instances that are forgotten side by side: each takes several requests."""

FINISHED = ("Completed", "Failed", "Terminated")

_PAGE = 1_000

_logger = logging.getLogger(__name__)


def least_time(registry: Registry) -> timedelta | None:
    """Return how long instances are kept that are kept least; None where all are for ever."""
    kept = [d.purge_after for d in registry.orchestrations() if d.purge_after is not None]
    return timedelta(seconds=min(kept)) if kept else None


def forget_expired(now: datetime, client: AzureClient, registry: Registry) -> int:
    """Forget instances whose time is up, and their children; return how many there were.

    It ends when its time is up, and the next run goes on.

    Args:
        now: The time.
        client: Of the function app.
        registry: What the application declares.

    Raises:
        OstinatoError: One could not be forgotten; the first such error, after all others were
            tried.
    """
    least = least_time(registry)
    if least is None:
        return 0
    query = Query(status=FINISHED, created_to=now - least, page_size=_PAGE)
    ask = client.list_instances if _needs_versions(registry) else client.list_outlines
    run = _Run(client)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        before = -1
        while run.count > before and not run.is_late:
            # Pages may be counted, so that what was forgotten moves others past the next one.
            before = run.count
            for page in pages(ask, query):
                expired = [i.instance_id for i in page.instances if _is_over(i, registry, now)]
                list(pool.map(run.forget, expired))
                if run.is_late:
                    break
    if run.is_late:
        _logger.warning("%d instances were forgotten in time; the next run goes on", run.count)
    if run.failed is not None:
        raise run.failed
    return run.count


class _Run:
    """What has been forgotten, and what could not be."""

    def __init__(self, client: AzureClient) -> None:
        self._client = client
        self._ends = time.monotonic() + LASTS
        self._lock = Lock()
        self.count = 0
        self.failed: OstinatoError | None = None

    @property
    def is_late(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() >= self._ends

    def forget(self, instance_id: str) -> None:
        """Forget an instance, unless time is up."""
        if self.is_late:
            return
        try:
            count = self._client.purge(instance_id)
        except (InstanceNotFoundError, InstanceExistsError):
            return  # forgotten with its parent, or started again
        except OstinatoError as error:
            with self._lock:
                self.failed = self.failed or error
            return
        with self._lock:
            self.count += count


def _needs_versions(registry: Registry) -> bool:
    """Whether versions of one orchestration are kept for unlike times."""
    kept: dict[str, set[float | None]] = {}
    for definition in registry.orchestrations():
        kept.setdefault(definition.name, set()).add(definition.purge_after)
    return any(len(times) > 1 for times in kept.values())


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

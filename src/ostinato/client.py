"""The client: the same verbs and values on every host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from ostinato.arguments import as_utc, note, tags
from ostinato.events import Event, Parent
from ostinato.failures import Failure


class RuntimeStatus(StrEnum):
    """Where an instance stands; the names are Durable Functions' own."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TERMINATED = "Terminated"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    CANCELED = "Canceled"

    @property
    def is_finished(self) -> bool:
        """Whether nothing further happens to the instance by itself."""
        return self in _FINISHED


_FINISHED = frozenset(
    {
        RuntimeStatus.COMPLETED,
        RuntimeStatus.FAILED,
        RuntimeStatus.TERMINATED,
        RuntimeStatus.CANCELED,
    }
)

IfExists: TypeAlias = Literal["reject", "attach", "replace_finished"]
"""What a start does when the instance id is known: ``reject`` raises for any existing
instance, ``attach`` leaves it and returns its id, ``replace_finished`` starts anew in
place of a finished one and raises for an unfinished one."""


_set = msgspec.structs.force_setattr


class InstanceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as its clients see it. Times are aware, in UTC."""

    instance_id: str
    execution_id: str
    name: str
    version: str | None
    runtime_status: RuntimeStatus
    created_at: datetime
    updated_at: datetime
    input: Any = None
    output: Any = None
    custom_status: Any = None
    failure: Failure | None = None
    tags: dict[str, str] = {}
    parent: Parent | None = None


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which instances to list: all conditions hold; the newest come first.

    Raises:
        ValueError: A status has an unknown name.
        TypeError: A time is no datetime.
    """

    status: RuntimeStatus | str | Iterable[RuntimeStatus | str] = ()
    """One or several, as `RuntimeStatus` or by name; none: any. Kept as a tuple."""
    created_from: datetime | None = None
    created_to: datetime | None = None
    name: str = ""
    """The orchestration's; empty: any."""
    prefix: str = ""
    tags: dict[str, str] = {}
    page_size: int = 100
    page: str | None = None
    """The ``next_page`` of the page before, with the same conditions."""

    def __post_init__(self) -> None:
        given = (self.status,) if isinstance(self.status, str) else self.status
        _set(self, "status", tuple(RuntimeStatus(status) for status in given))
        note(self.name, "name")
        note(self.prefix, "prefix")
        tags(self.tags)
        for name in ("created_from", "created_to"):
            at = getattr(self, name)
            _set(self, name, None if at is None else as_utc(at, name))

    @property
    def statuses(self) -> tuple[RuntimeStatus, ...]:
        """The statuses asked for; empty: any."""
        return tuple(RuntimeStatus(status) for status in self.status)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a listing; ``next_page`` is None on the last."""

    instances: list[InstanceStatus]
    next_page: str | None = None


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One instance to start; fields as in `Client.start`."""

    name: str | Callable[..., Any]
    input: Any = None
    instance_id: str | None = None
    if_exists: IfExists = "reject"
    start_at: datetime | None = None
    tags: Mapping[str, str] | None = None
    version: str | None = None


class Client(Protocol):
    """Starts, watches and steers instances.

    Every verb that names an instance raises `InstanceNotFoundError` when there is none.
    What a verb accepted is durable when it returns.
    """

    def start(
        self,
        name: str | Callable[..., Any],
        input: Any = None,
        *,
        instance_id: str | None = None,
        if_exists: IfExists = "reject",
        start_at: datetime | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        version: str | None = None,
    ) -> str:
        """Start an orchestration and return its instance id.

        Raises:
            UnknownNameError: The application has no such orchestration or version.
            InstanceExistsError: The id is taken (see `IfExists`).
            InvalidInstanceIdError: The id is not valid on every host.
            CodecError: The input is no JSON, or does not fit the orchestrator's annotation.
            PayloadTooLargeError: The input is over the application's limit.
        """
        ...

    def start_many(self, starts: Iterable[Start]) -> list[str]:
        """Start several, durably together where the host can; ids in the same order."""
        ...

    def get_status(self, instance_id: str) -> InstanceStatus:
        """Return the instance as it stands."""
        ...

    def wait(self, instance_id: str, timeout: float | None = None) -> InstanceStatus:
        """Wait until the instance has ended and return it.

        Raises:
            TimeoutError: It has not ended within ``timeout`` seconds.
        """
        ...

    def raise_event(
        self, instance_id: str, name: str, data: Any = None, *, event_id: str | None = None
    ) -> None:
        """Send an external event; one with an ``event_id`` is taken once.

        Raises:
            InstanceFinishedError: The instance has ended.
        """
        ...

    def terminate(self, instance_id: str, reason: str = "", *, cascade: bool = True) -> None:
        """End an instance and, with ``cascade``, its open children.

        Raises:
            InstanceFinishedError: The instance has ended already.
        """
        ...

    def suspend(self, instance_id: str, reason: str = "") -> None:
        """Hold an instance: messages are kept but not applied."""
        ...

    def resume(self, instance_id: str, reason: str = "") -> None:
        """Apply what was held, in order, and go on."""
        ...

    def rewind(self, instance_id: str, reason: str = "") -> None:
        """Let a failed instance go on: only the failed work runs again.

        Raises:
            NotRewindableError: The instance has not failed.
        """
        ...

    def restart(self, instance_id: str, *, new_instance_id: bool | str = True) -> str:
        """Start the orchestration again with its input and return the instance id.

        With ``new_instance_id=False`` the finished instance is replaced.

        Raises:
            InstanceExistsError: The id to be used belongs to an unfinished instance.
        """
        ...

    def purge(self, instance_id: str) -> int:
        """Forget a finished instance and its children; return how many were forgotten.

        Raises:
            InstanceExistsError: The instance has not ended.
        """
        ...

    def purge_many(self, query: Query) -> int:
        """Forget the finished instances that ``query`` finds, all pages of them."""
        ...

    def list_instances(self, query: Query = Query()) -> Page:
        """Return a page of instances, newest first."""
        ...

    def get_history(self, instance_id: str) -> Sequence[Event]:
        """Return the history of the instance's current execution, oldest first."""
        ...


def pages(ask: Callable[[Query], Page], query: Query) -> Iterator[Page]:
    """Ask for the pages that ``query`` finds, from the first one on, each when it is wanted.

    ``ask`` is a client's ``list_instances``, or something like it.
    """
    page: str | None = None
    while True:
        found = ask(msgspec.structs.replace(query, page=page))
        yield found
        page = found.next_page
        if page is None:
            return

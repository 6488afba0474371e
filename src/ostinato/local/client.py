"""The client of a local task hub."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from ostinato import arguments
from ostinato import events as ev
from ostinato.arguments import as_utc
from ostinato.client import IfExists, InstanceStatus, Page, Query, RuntimeStatus, Start
from ostinato.codec import decode, encode
from ostinato.definitions import Registry
from ostinato.events import Event, ExecutionStarted
from ostinato.failures import Failure
from ostinato.ids import validate_instance_id
from ostinato.local.clock import Clock
from ostinato.local.cycle import new_execution_id
from ostinato.local.gateway import Gateway, not_found
from ostinato.local.store import Instance, Message, Store
from ostinato.starting import check_start

_PURGE_PAGE = 500


class LocalClient:
    """A `Client` of a local task hub; safe to use from any thread.

    Args:
        registry: The application, by which names, versions and inputs are checked; without
            one, any name is accepted and an unknown one fails its instance.
    """

    def __init__(
        self, store: Store, gateway: Gateway, clock: Clock, registry: Registry | None
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._clock = clock
        self._registry = registry

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
        """See `Client.start`."""
        at = self._clock.now() + start_at if isinstance(start_at, timedelta) else start_at
        start = Start(
            name=name,
            input=input,
            instance_id=instance_id,
            if_exists=if_exists,
            start_at=at,
            tags=tags,
            version=version,
        )
        return self.start_many([start])[0]

    def start_many(self, starts: Iterable[Start]) -> list[str]:
        """See `Client.start_many`: one durable write for all, or for none of them."""
        prepared: list[tuple[ExecutionStarted, IfExists | None]] = [
            (self._started(start), None if start.instance_id is None else start.if_exists)
            for start in starts
        ]
        if prepared:
            self._gateway.create(prepared)
        return [started.instance_id for started, _ in prepared]

    def _started(self, start: Start) -> ExecutionStarted:
        name, version, text = check_start(self._registry, start)
        chosen = start.instance_id
        return ExecutionStarted(
            at=self._clock.now(),
            instance_id=uuid4().hex if chosen is None else validate_instance_id(chosen),
            execution_id=new_execution_id(),
            name=name,
            input=text,
            version=version,
            tags=arguments.tags(start.tags),
            start_at=None if start.start_at is None else as_utc(start.start_at, "start_at"),
        )

    def get_status(self, instance_id: str) -> InstanceStatus:
        """See `Client.get_status`."""
        return self._status(self._head(instance_id))

    def wait(self, instance_id: str, timeout: float | None = None) -> InstanceStatus:
        """See `Client.wait`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            head = self._head(instance_id)
            if head.status.is_finished and not self._is_reviving(head):
                return self._status(head)
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(
                    f"instance {instance_id!r} has not ended within {timeout} s; "
                    f"it is {head.status.value} and goes on"
                )
            self._gateway.await_end(instance_id, left)

    def _is_reviving(self, head: Instance) -> bool:
        """Whether a failed instance has been asked to go on, or has just gone on."""
        if head.status is not RuntimeStatus.FAILED:
            return False
        asked = any(
            isinstance(message.event, ev.ExecutionRewound)
            for message in self._store.inbox_of(head.instance_id)
        )
        return asked or self._head(head.instance_id) != head

    def raise_event(
        self, instance_id: str, name: str, data: Any = None, *, event_id: str | None = None
    ) -> None:
        """See `Client.raise_event`."""
        limit = None if self._registry is None else self._registry.payload_limit
        event = ev.EventRaised(
            at=self._clock.now(),
            name=arguments.text(name, "name of an event"),
            data=encode(data, f"data of event {name!r}", limit),
            event_id=arguments.optional_text(event_id, "event_id"),
        )
        self._send(instance_id, event)

    def terminate(self, instance_id: str, reason: str = "", *, cascade: bool = True) -> None:
        """See `Client.terminate`."""
        why = arguments.note(reason, "reason")
        event = ev.ExecutionTerminated(at=self._clock.now(), reason=why, cascade=bool(cascade))
        self._send(instance_id, event)

    def suspend(self, instance_id: str, reason: str = "") -> None:
        """See `Client.suspend`."""
        why = arguments.note(reason, "reason")
        self._send(instance_id, ev.ExecutionSuspended(at=self._clock.now(), reason=why))

    def resume(self, instance_id: str, reason: str = "") -> None:
        """See `Client.resume`."""
        why = arguments.note(reason, "reason")
        self._send(instance_id, ev.ExecutionResumed(at=self._clock.now(), reason=why))

    def rewind(self, instance_id: str, reason: str = "") -> None:
        """See `Client.rewind`."""
        why = arguments.note(reason, "reason")
        self._send(instance_id, ev.ExecutionRewound(at=self._clock.now(), reason=why))

    def _send(self, instance_id: str, event: Event) -> None:
        self._gateway.send(Message(instance_id=instance_id, event=event))

    def restart(self, instance_id: str, *, new_instance_id: bool | str = True) -> str:
        """See `Client.restart`."""
        head = self._head(instance_id)
        started = self._store.first_event(instance_id)
        assert started is not None
        chosen = new_instance_id
        if not isinstance(chosen, (bool, str)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"new_instance_id is True, False or an id, not {chosen!r}")
        target = chosen if isinstance(chosen, str) else uuid4().hex if chosen else instance_id
        definition = None
        if self._registry is not None:
            definition = self._registry.orchestration(head.name)
        again = ExecutionStarted(
            at=self._clock.now(),
            instance_id=validate_instance_id(target),
            execution_id=new_execution_id(),
            name=head.name,
            input=started.input,
            version=None if definition is None else definition.version,
            tags=head.tags,
        )
        self._gateway.create([(again, "replace_finished")])
        return target

    def purge(self, instance_id: str) -> int:
        """See `Client.purge`."""
        return self._gateway.purge([instance_id], skip=False)

    def purge_many(self, query: Query) -> int:
        """See `Client.purge_many`."""
        found: list[str] = []
        page: str | None = None
        while True:
            query = msgspec.structs.replace(query, page=page, page_size=_PURGE_PAGE)
            heads, page = self._store.instances(query)
            found += [head.instance_id for head in heads if head.status.is_finished]
            if page is None:
                break
        pages = [found[n : n + _PURGE_PAGE] for n in range(0, len(found), _PURGE_PAGE)]
        return sum(self._gateway.purge(ids, skip=True) for ids in pages)

    def list_instances(self, query: Query = Query()) -> Page:
        """See `Client.list_instances`."""
        heads, page = self._store.instances(query)
        return Page(instances=[self._status(head) for head in heads], next_page=page)

    def get_history(self, instance_id: str) -> Sequence[Event]:
        """See `Client.get_history`."""
        self._head(instance_id)
        return self._store.history(instance_id)

    def _head(self, instance_id: str) -> Instance:
        head = self._store.instance(instance_id)
        if head is None:
            raise not_found(instance_id)
        return head

    def _status(self, head: Instance) -> InstanceStatus:
        started = self._store.first_event(head.instance_id)
        output, failure = self._end(head)
        return InstanceStatus(
            instance_id=head.instance_id,
            execution_id=head.execution_id,
            name=head.name,
            version=head.version,
            runtime_status=head.status,
            created_at=head.created_at,
            updated_at=head.updated_at,
            input=None if started is None else decode(started.input),
            output=output,
            custom_status=None if head.custom_status is None else decode(head.custom_status),
            failure=failure,
            tags=head.tags or {},
            parent=head.parent,
        )

    def _end(self, head: Instance) -> tuple[Any, Failure | None]:
        """Output and failure; the output of a terminated instance is the reason given."""
        last = self._store.last_event(head.instance_id) if head.status.is_finished else None
        if not isinstance(last, ev.ExecutionCompleted):
            return None, None
        match last.status:
            case "Completed":
                return decode(last.result or "null"), None
            case "Failed":
                return None, last.failure
            case "Terminated":
                return None if last.failure is None else last.failure.message, None

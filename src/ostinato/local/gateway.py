"""How clients reach a task hub: through the engine of this process, or through the store alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ostinato import events as ev
from ostinato.client import IfExists
from ostinato.errors import (
    InstanceExistsError,
    InstanceFinishedError,
    InstanceNotFoundError,
    NotRewindableError,
    StoreError,
)
from ostinato.events import ExecutionStarted
from ostinato.local.cycle import Cycle, pending
from ostinato.local.engine import Engine
from ostinato.local.store import Instance, Message, Store

_POLL = 0.05
"""Seconds between looks at an instance that another process executes."""


class Gateway(Protocol):
    """What clients need done; everything accepted is durable."""

    def create(self, starts: Sequence[tuple[ExecutionStarted, IfExists | None]]) -> None:
        """Start instances, all or none; None for those whose id was made just now.

        Raises:
            InstanceExistsError: An id is taken.
        """
        ...

    def send(self, message: Message) -> None:
        """Deliver a message.

        Raises:
            InstanceNotFoundError, InstanceFinishedError, NotRewindableError: It makes no sense.
        """
        ...

    def purge(self, instance_ids: Sequence[str], *, skip: bool) -> int:
        """Forget instances; see `Store.purge`. One that is gone or runs is skipped or refused.

        Raises:
            InstanceNotFoundError, InstanceExistsError: It is not there, or has not ended.
        """
        ...

    def await_end(self, instance_id: str, timeout: float | None) -> None:
        """Return when the instance may have ended, or after ``timeout`` seconds."""
        ...


class EngineGateway:
    """Reaches the engine of this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, starts: Sequence[tuple[ExecutionStarted, IfExists | None]]) -> None:
        """See `Gateway.create`."""

        def prepare(cycle: Cycle) -> None:
            heads: dict[str, Instance | None] = {}
            chosen: list[tuple[ExecutionStarted, bool]] = []
            for started, if_exists in starts:
                instance_id = started.instance_id
                if if_exists is None:
                    head = None
                elif instance_id in heads:
                    head = heads[instance_id]
                else:
                    head = cycle.head(instance_id)
                if head is not None and if_exists is not None:
                    refuse_existing(head, if_exists)
                if head is None or if_exists == "replace_finished":
                    chosen.append((started, head is not None))
                    heads[instance_id] = pending(started)
            for started, replaces in chosen:
                cycle.start(started, replaces=replaces)

        self._engine.call(prepare)

    def send(self, message: Message) -> None:
        """See `Gateway.send`."""

        def prepare(cycle: Cycle) -> None:
            check_message(cycle.head(message.instance_id), message)
            cycle.send(message)

        self._engine.call(prepare)

    def purge(self, instance_ids: Sequence[str], *, skip: bool) -> int:
        """See `Gateway.purge`."""
        return self._engine.call(
            lambda cycle: self._engine.purge(_purgeable(instance_ids, cycle.head, skip))
        )

    def await_end(self, instance_id: str, timeout: float | None) -> None:
        """See `Gateway.await_end`."""
        notices = self._engine.notices
        notice = notices.end_of(instance_id)
        try:
            head = self._engine.store.instance(instance_id)
            if head is not None and not head.status.is_finished:
                notice.wait(timeout)
        finally:
            notices.drop(instance_id, notice)
        if notices.closed:
            raise StoreError("this host was closed while its client waited")


class StoreGateway:
    """Reaches a task hub that another process executes, or nobody does at the moment."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, starts: Sequence[tuple[ExecutionStarted, IfExists | None]]) -> None:
        """See `Gateway.create`; each start stands alone."""
        for started, if_exists in starts:
            how = if_exists or "reject"
            if self._store.create(pending(started), started, how) == "exists":
                head = self._store.instance(started.instance_id)
                if head is not None:
                    refuse_existing(head, how)

    def send(self, message: Message) -> None:
        """See `Gateway.send`."""
        check_message(self._store.instance(message.instance_id), message)
        self._store.send([message])

    def purge(self, instance_ids: Sequence[str], *, skip: bool) -> int:
        """See `Gateway.purge`."""
        return len(self._store.purge(_purgeable(instance_ids, self._store.instance, skip)))

    def await_end(self, instance_id: str, timeout: float | None) -> None:
        """See `Gateway.await_end`."""
        time.sleep(_POLL if timeout is None else min(_POLL, timeout))


def refuse_existing(head: Instance, if_exists: IfExists) -> None:
    """Raise `InstanceExistsError` unless ``if_exists`` allows for the instance."""
    if if_exists == "attach" or (if_exists == "replace_finished" and head.status.is_finished):
        return
    raise InstanceExistsError(
        f"instance {head.instance_id!r} exists already and is {head.status.value}; choose another "
        "id, or start it with if_exists='attach' or, once it has ended, 'replace_finished'"
    )


def check_message(head: Instance | None, message: Message) -> None:
    """Raise when the instance cannot take the message."""
    instance_id = message.instance_id
    if head is None:
        raise not_found(instance_id)
    if isinstance(message.event, ev.ExecutionRewound):
        if head.status.value != "Failed":
            raise NotRewindableError(
                f"instance {instance_id!r} is {head.status.value}; only a failed one is rewound"
            )
    elif head.status.is_finished:
        raise InstanceFinishedError(
            f"instance {instance_id!r} has ended ({head.status.value}) and takes no more messages"
        )


def _purgeable(
    instance_ids: Sequence[str], head_of: Callable[[str], Instance | None], skip: bool
) -> list[str]:
    heads = {instance_id: head_of(instance_id) for instance_id in instance_ids}
    if not skip:
        for instance_id, head in heads.items():
            check_finished(head, instance_id)
    return [i for i, head in heads.items() if head is not None and head.status.is_finished]


def check_finished(head: Instance | None, instance_id: str) -> None:
    """Raise unless the instance may be purged."""
    if head is None:
        raise not_found(instance_id)
    if not head.status.is_finished:
        raise InstanceExistsError(
            f"instance {instance_id!r} is {head.status.value}; terminate it before it is purged"
        )


def not_found(instance_id: str) -> InstanceNotFoundError:
    """The error for an id that no instance has."""
    return InstanceNotFoundError(f"there is no instance {instance_id!r} in this task hub")

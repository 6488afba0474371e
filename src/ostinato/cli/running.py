"""Running one instance to its end, whatever the screen looks like."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import ostinato as ost
from ostinato.cli.discovery import orchestration_names
from ostinato.cli.outcome import ExitCode, UsageError, similar
from ostinato.client import Client, IfExists, InstanceStatus, Query, RuntimeStatus
from ostinato.errors import InstanceNotFoundError
from ostinato.local import LocalHost, Progress

POLL = 0.1
"""Seconds between two looks at the progress."""

COUNTED = 1000
"""How many other instances are looked at to count them."""

UNFINISHED = (RuntimeStatus.PENDING, RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What to run, and where it is kept."""

    app: ost.App
    orchestration: str
    input: Any = None
    store: Path
    instance_id: str | None = None
    if_exists: IfExists = "attach"
    """An unfinished instance is continued, unless ``reject``; ``attach`` gives the outcome of
    a finished one, ``replace_finished`` runs it again."""
    timeout: float | None = None
    """Seconds after which to stop, leaving the rest to the next run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run went."""

    code: ExitCode
    instance_id: str | None = None
    """None when it was interrupted before it began."""
    status: InstanceStatus | None = None
    """The finished instance."""
    progress: Progress | None = None
    waits_for: tuple[str, ...] = ()
    """What the unfinished instance waits for, in words."""


class Display(Protocol):
    """What is seen while an instance runs."""

    def say(self, text: str) -> None:
        """Show a line of text."""
        ...

    def show(self, progress: Progress) -> None:
        """Show how far the activities are."""
        ...


def run(request: Run, display: Display) -> Result:
    """Start the instance, or continue it, and wait for its end.

    Raises:
        UsageError: The user can mend why it was not even begun.
    """
    names = list(orchestration_names(request.app))
    if request.orchestration not in names:
        raise UsageError(
            f"there is no orchestration {request.orchestration!r}"
            f"{similar(request.orchestration, names)}"
        )
    result = Result(code=ExitCode.INTERRUPTED)
    with suppress(KeyboardInterrupt), LocalHost(request.app, store=request.store) as host:
        _tell_of_others(request, host.client, display)
        instance_id = _begin(request, host, display)
        result = replace(result, instance_id=instance_id)
        result = _follow(host, instance_id, request.timeout, display)
    return result


def _tell_of_others(request: Run, client: Client, display: Display) -> None:
    """Say how many instances besides this one go on, too; children are not counted."""
    page = client.list_instances(Query(status=UNFINISHED, page_size=COUNTED))
    others = [
        status
        for status in page.instances
        if status.parent is None and status.instance_id != request.instance_id
    ]
    if others:
        more = "over " if page.next_page is not None else ""
        plural = "" if len(others) == 1 else "s"
        display.say(
            f"continuing {more}{len(others):,} other instance{plural}"
            f" found unfinished in {request.store}"
        )


def _begin(request: Run, host: LocalHost, display: Display) -> str:
    """Start the instance unless it is there already; return its id."""
    existing = _existing(request, host.client)
    if existing is None or (existing.runtime_status.is_finished and _anew(request)):
        instance_id = host.client.start(
            request.orchestration,
            request.input,
            instance_id=request.instance_id,
            if_exists="reject" if existing is None else "replace_finished",
        )
        display.say(f"started {request.orchestration} as {instance_id}")
        return instance_id
    if existing.runtime_status.is_finished:
        display.say(
            f"{existing.instance_id} has ended before; this is its outcome"
            " (--if-exists replace_finished runs it again)"
        )
        return existing.instance_id
    progress = host.progress(existing.instance_id)
    display.say(
        f"continuing {existing.instance_id}: {progress.completed:,} of"
        f" {progress.scheduled - progress.retried:,} activities were done"
    )
    if request.input is not None and request.input != existing.input:
        display.say("note: it goes on with the input it was started with, not with this one")
    if existing.runtime_status is RuntimeStatus.SUSPENDED:
        display.say("note: it is suspended, and waits to be resumed")
    return existing.instance_id


def _anew(request: Run) -> bool:
    return request.if_exists == "replace_finished"


def _existing(request: Run, client: Client) -> InstanceStatus | None:
    """The instance of the id asked for.

    Raises:
        UsageError: It must not exist, or is one of another orchestration.
    """
    if request.instance_id is None:
        return None
    try:
        status = client.get_status(request.instance_id)
    except InstanceNotFoundError:
        return None
    if request.if_exists == "reject":
        raise UsageError(
            f"there is an instance {status.instance_id!r} already ({status.runtime_status});"
            " choose another --id, or another --if-exists"
        )
    replaced = status.runtime_status.is_finished and _anew(request)
    if status.name != request.orchestration and not replaced:
        raise UsageError(
            f"instance {status.instance_id!r} is one of {status.name!r},"
            f" not of {request.orchestration!r}; choose another --id"
        )
    return status


def _follow(host: LocalHost, instance_id: str, timeout: float | None, display: Display) -> Result:
    """Wait for the end; on Ctrl-C or after ``timeout`` seconds leave it as it is."""
    began = time.monotonic()
    status: InstanceStatus | None = None
    code = ExitCode.TIMEOUT
    try:
        while status is None and (timeout is None or time.monotonic() - began < timeout):
            with suppress(TimeoutError):
                status = host.client.wait(instance_id, timeout=POLL)
            display.show(host.progress(instance_id))
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
        display.say("stopping: what runs is asked to stop, nothing is lost ...")
    if status is not None:
        code = ExitCode.of(status.runtime_status)
    return Result(
        code=code,
        instance_id=instance_id,
        status=status,
        progress=host.progress(instance_id),
        waits_for=() if status is not None else tuple(host.waiting_for(instance_id)),
    )

"""Running one instance to its end, whatever the screen looks like."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from msgspec import UNSET

import ostinato as ost
from ostinato.cli.discovery import orchestration_names
from ostinato.cli.hosting import Host, OutOfSightError, hosting
from ostinato.cli.outcome import ExitCode, UsageError, similar, stopped_by_sigterm
from ostinato.cli.targets import LocalTarget, Target, open_store
from ostinato.client import Client, IfExists, InstanceStatus, Query, RuntimeStatus, Start
from ostinato.errors import InstanceNotFoundError, OstinatoError
from ostinato.local import Progress
from ostinato.starting import check_start

COUNTED = 1000
"""How many other instances are looked at to count them."""

UNFINISHED = (RuntimeStatus.PENDING, RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What to run, and where."""

    app: ost.App | None
    """Checks the name and the input; a deployed app runs without one at hand."""
    orchestration: str
    input: Any = UNSET
    """JSON. Left out, a finished instance that is run again gets the one it had, another null."""
    target: Target
    instance_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of one that is started. Left out, an instance that is run again with its input keeps its."""
    if_exists: IfExists = "attach"
    """An unfinished instance is continued, unless ``reject``; ``attach`` gives the outcome of
    a finished one, ``replace_finished`` runs it again."""
    timeout: float | None = None
    """Seconds after which to stop; the rest is left to the next run, or to the deployed app."""


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
    trouble: Exception | None = None
    """Why nothing could be written or seen when the run stopped; None when all was well."""


class Display(Protocol):
    """What is seen while an instance runs."""

    shows_progress: bool
    """Whether the activities are to be counted."""

    def say(self, text: str) -> None:
        """Show a line of text."""
        ...

    def warn(self, text: str) -> None:
        """Show a line of text that matters even to those who want no progress."""
        ...

    def show(
        self, progress: Progress, *, ended: bool, attempts: bool, trouble: Exception | None
    ) -> None:
        """Show how far the activities are, and why nothing moves at the moment.

        With ``attempts``, each attempt counts as a call of its own. Otherwise, before the instance
        has ``ended``, what failed may be about to be tried again.
        """
        ...


def run(request: Run, display: Display) -> Result:
    """Start the instance, or continue it, and wait for its end.

    Raises:
        UsageError: The user can mend why it was not even begun.
    """
    _check_name(request)
    before = _look(request)
    instance_id: str | None = None
    result: Result | None = None
    try:
        with stopped_by_sigterm(), hosting(request.target, request.app) as host:
            _tell_of_others(before, request, display)
            instance_id, existing, said = _begin(before, request, host)
            display.say(said)
            if existing is not None:
                _warn_of(existing, request, display)
            result = follow(host, instance_id, request, display)
    except KeyboardInterrupt as interrupt:
        result = result or Result(code=ExitCode.of_interrupt(interrupt), instance_id=instance_id)
    except (UsageError, OstinatoError) as error:
        if instance_id is None:
            raise
        raise UsageError(f"{error}\nthe instance is {instance_id}") from None
    return result


def _check_name(request: Run) -> None:
    if request.app is None:
        return
    names = list(orchestration_names(request.app))
    if request.orchestration not in names:
        raise UsageError(
            f"there is no orchestration {request.orchestration!r}"
            f"{similar(request.orchestration, names)}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the store held before anything of it went on."""

    others: int = 0
    """Unfinished instances beside the one asked for, children not counted."""
    more: bool = False
    """Whether there are still more of them."""
    progress: Progress | None = None
    """How far the instance asked for was, if it was unfinished."""
    ended_at: datetime | None = None
    """When it had ended, if it was finished; one that was rewound goes on from there."""


def _look(request: Run) -> Before:
    """Look at a store before a host here goes on with what it finds there."""
    if not (isinstance(request.target, LocalTarget) and request.target.store.is_file()):
        return Before()
    with open_store(request.target.store) as hub:
        page = hub.client.list_instances(Query(status=UNFINISHED, page_size=COUNTED))
        mine = request.instance_id
        others = [s for s in page.instances if s.parent is None and s.instance_id != mine]
        progress: Progress | None = None
        ended_at: datetime | None = None
        if mine is not None:
            with suppress(InstanceNotFoundError):
                status = hub.client.get_status(mine)
                if status.runtime_status.is_finished:
                    ended_at = status.updated_at
                else:
                    progress = hub.progress(mine)
        return Before(
            others=len(others),
            more=page.next_page is not None,
            progress=progress,
            ended_at=ended_at,
        )


def _tell_of_others(before: Before, request: Run, display: Display) -> None:
    """Say how many instances besides this one go on, too."""
    if before.others:
        more = "over " if before.more else ""
        plural = "" if before.others == 1 else "s"
        display.say(
            f"continuing {more}{before.others:,} other instance{plural}"
            f" found unfinished in {request.target}"
        )


def _begin(before: Before, request: Run, host: Host) -> tuple[str, InstanceStatus | None, str]:
    """Start the instance unless it is there already; return its id, it, and what to say of it."""
    existing = _existing(request, host.client)
    had_ended = before.progress is None and (
        existing is not None
        and existing.runtime_status.is_finished
        and before.ended_at in (None, existing.updated_at)
    )
    if existing is None or (had_ended and _anew(request)):
        given = _input(request, existing)
        if request.app is not None:
            check_start(request.app.registry, Start(name=request.orchestration, input=given))
        if existing is not None and _is_repeated(request, existing) and not request.tags:
            instance_id = host.client.restart(existing.instance_id, new_instance_id=False)
        else:
            instance_id = host.client.start(
                request.orchestration,
                given,
                instance_id=request.instance_id,
                tags=request.tags,
                if_exists="reject" if existing is None else "replace_finished",
            )
        return instance_id, None, f"started {request.orchestration} as {instance_id}"
    if had_ended:
        said = (
            f"{existing.instance_id} has ended before; this is its outcome"
            " (--if-exists replace_finished runs it again)"
        )
    else:
        done = before.progress or host.progress(existing.instance_id)
        said = (
            f"continuing {existing.instance_id}: {done.completed:,} of"
            f" {done.scheduled - done.retried:,} activities were done"
        )
    return existing.instance_id, existing, said


def _is_repeated(request: Run, replaced: InstanceStatus) -> bool:
    """Whether the input is the one that the instance to be replaced had."""
    return request.input is UNSET and replaced.name == request.orchestration


def _input(request: Run, replaced: InstanceStatus | None) -> Any:
    if replaced is not None and _is_repeated(request, replaced):
        return replaced.input
    return None if request.input is UNSET else request.input


def _warn_of(existing: InstanceStatus, request: Run, display: Display) -> None:
    """Say what the user may not expect of an instance that is not started anew."""
    does = "has ended" if existing.runtime_status.is_finished else "goes on"
    if request.input is not UNSET and _text(request.input) != _text(existing.input):
        display.warn(
            f"warning: the input given is not used: {existing.instance_id} {does}"
            " with the input it was started with"
        )
    if not request.tags.items() <= existing.tags.items():
        display.warn(
            f"warning: the tags given are not used: {existing.instance_id} {does}"
            " with the tags it was started with"
        )
    if existing.runtime_status is RuntimeStatus.SUSPENDED:
        display.warn(f"warning: {existing.instance_id} is suspended, and waits to be resumed")


def _text(value: Any) -> str:
    """JSON that is the same for the same value; to Python, true is 1."""
    return json.dumps(value, sort_keys=True)


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


def follow(host: Host, instance_id: str, request: Run, display: Display) -> Result:
    """Wait for the end; when interrupted or when time is up leave the instance as it is."""
    began = time.monotonic()
    status: InstanceStatus | None = None
    progress: Progress | None = None
    code = ExitCode.TIMEOUT
    left = request.timeout
    try:
        while status is None and (left is None or left > 0):
            status = host.look(instance_id, left)
            if display.shows_progress:
                progress = host.progress(instance_id)
                display.show(
                    progress,
                    ended=status is not None,
                    attempts=host.counts_attempts,
                    trouble=host.trouble,
                )
            if request.timeout is not None:
                left = request.timeout - (time.monotonic() - began)
    except OutOfSightError:
        pass
    except KeyboardInterrupt as interrupt:
        code = ExitCode.of_interrupt(interrupt)
        if isinstance(request.target, LocalTarget):
            display.say("stopping: what runs is asked to stop, nothing is lost ...")
    if status is not None:
        code = ExitCode.of(status.runtime_status)
    trouble = host.trouble if status is None else None
    is_waiting = status is None and trouble is None
    return Result(
        code=code,
        instance_id=instance_id,
        status=status,
        progress=progress,
        waits_for=tuple(host.waiting_for(instance_id)) if is_waiting else (),
        trouble=trouble,
    )

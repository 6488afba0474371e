"""What a conformance case is: an orchestration, what happens to it, and how it must end.

Scripts are data. Before each step the host settles (nothing can move without time or a
message), so that a case means the same on a slow host; `Now` takes its step at once.
Wherever an instance is named, ``{id}`` stands for the id of the case's own instance, and
an empty name for that instance itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeAlias, TypeVar

import ostinato as ost
from ostinato.client import Client, IfExists, InstanceStatus, RuntimeStatus

Flow: TypeAlias = Generator[Any, Any, Any]
"""What an orchestrator returns, for those who do not care for types."""

Orchestrator = TypeVar("Orchestrator", bound=Callable[..., Any])


class ConformanceHost(Protocol):
    """A host as the suite sees it: one task hub, and a clock that the suite moves."""

    @property
    def client(self) -> Client: ...

    def deploy(self, app: ost.App) -> None:
        """Run ``app`` from now on, on the same task hub: what was live is loaded again."""
        ...

    def advance(self, delta: timedelta) -> None:
        """Let time pass."""
        ...

    def advance_to_next(self) -> bool:
        """Let time pass until the next timer is due, and tell whether there is one."""
        ...

    def settle(self) -> None:
        """Wait until nothing can move without time or a message."""
        ...

    def finish(self, instance_id: str) -> InstanceStatus:
        """Let time pass as needed, within reason, until the instance ends, and return it."""
        ...


@dataclass(frozen=True, slots=True)
class Within:
    """Is equal to every number from ``low`` to ``high``."""

    low: float
    high: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and self.low <= other <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How an instance ends, or stands when nothing moves. None: not looked at."""

    status: RuntimeStatus
    output: object = None
    failure_type: str | None = None
    failure_message: str | re.Pattern[str] | None = None
    """The whole message, or a pattern found in it."""
    cause_type: str | None = None
    custom_status: object = None
    reason: str | None = None
    """Why it was terminated."""
    scheduled: tuple[str, ...] | None = None
    """What the last generation asked for, by task id (see `harness.scheduling`)."""
    delays: tuple[object, ...] | None = None
    """Seconds from the creation of each of its timers until it was due."""
    ran: tuple[str, ...] | Mapping[str, int] | None = None
    """What activities noted in the outside world: in this order, or how often each."""
    others: Mapping[str, Expected] = field(default_factory=dict)
    """Further instances, by id."""


def completes(output: object = None, **more: Any) -> Expected:
    return Expected(status=RuntimeStatus.COMPLETED, output=output, **more)


def fails(kind: str, message: str | re.Pattern[str] | None = None, **more: Any) -> Expected:
    return Expected(status=RuntimeStatus.FAILED, failure_type=kind, failure_message=message, **more)


def terminated(reason: str, **more: Any) -> Expected:
    return Expected(status=RuntimeStatus.TERMINATED, reason=reason, **more)


def stays(status: RuntimeStatus, **more: Any) -> Expected:
    return Expected(status=status, **more)


@dataclass(frozen=True, slots=True)
class Start:
    """Start another instance, or the same again."""

    orchestration: str
    input: object = None
    id: str = "{id}-other"
    version: str | None = None
    if_exists: IfExists = "reject"


@dataclass(frozen=True, slots=True)
class RaiseEvent:
    name: str
    data: object = None
    event_id: str | None = None
    to: str = ""


@dataclass(frozen=True, slots=True)
class Advance:
    """Let time pass: seconds, or a timedelta."""

    by: float | timedelta

    @property
    def delta(self) -> timedelta:
        return self.by if isinstance(self.by, timedelta) else timedelta(seconds=self.by)


@dataclass(frozen=True, slots=True)
class Suspend:
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Resume:
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Terminate:
    reason: str = ""
    to: str = ""
    cascade: bool = True


@dataclass(frozen=True, slots=True)
class Rewind:
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Restart:
    new_instance_id: bool | str = False


@dataclass(frozen=True, slots=True)
class Purge:
    """Forget the instance; ``count`` instances must go with it."""

    count: int
    to: str = ""


@dataclass(frozen=True, slots=True)
class Deploy:
    """The application is replaced under the running instances."""

    app: ost.App


@dataclass(frozen=True, slots=True)
class Open:
    """Open a gate of the outside world, e.g. mend what made an activity fail."""

    gate: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Wait until an activity has noted ``key`` in the outside world."""

    key: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Wait until the instance has ended, with no time passing."""


@dataclass(frozen=True, slots=True)
class Check:
    """Look at an instance in passing."""

    expected: Expected
    of: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The client refuses a step."""

    step: Step
    error: type[Exception]


@dataclass(frozen=True, slots=True)
class Now:
    """Take a step without letting the host settle first."""

    step: Step


Step: TypeAlias = (
    Start
    | RaiseEvent
    | Advance
    | Suspend
    | Resume
    | Terminate
    | Rewind
    | Restart
    | Purge
    | Deploy
    | Open
    | Noted
    | Ended
    | Check
    | Refused
    | Now
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of the suite; ``name`` is a sentence."""

    name: str
    orchestration: str
    input: object
    expected: Expected
    script: tuple[Step, ...] = ()
    app: ost.App
    version: str | None = None
    start_at: timedelta | None = None


class Cases(list[Case]):
    """The cases of one application, each written next to its orchestrator."""

    def __init__(self, app: ost.App) -> None:
        super().__init__()
        self.app = app

    def __call__(
        self, name: str, expected: Expected, *script: Step, **more: Any
    ) -> Callable[[Orchestrator], Orchestrator]:
        """Decorate an orchestrator with a case; ``more`` are further fields of `Case`."""

        def decorate(orchestrator: Orchestrator) -> Orchestrator:
            self.add(name, orchestrator, expected, *script, **more)
            return orchestrator

        return decorate

    def add(
        self,
        name: str,
        orchestrator: Callable[..., Any],
        expected: Expected,
        *script: Step,
        input: object = None,
        app: ost.App | None = None,
        version: str | None = None,
        start_at: timedelta | None = None,
    ) -> None:
        self.append(
            Case(
                name=name,
                orchestration=orchestrator.__name__,
                input=input,
                expected=expected,
                script=script,
                app=app or self.app,
                version=version,
                start_at=start_at,
            )
        )

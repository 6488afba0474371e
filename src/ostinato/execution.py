"""Execution: the state that context, tasks and replay share for one run of an orchestrator.

Plain data with the few operations that keep it consistent. Nothing here runs user code.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Protocol

from ostinato.actions import Action, ContinuedAsNew
from ostinato.definitions import Name, Registry, unknown_name
from ostinato.events import Event, EventRaised, Parent
from ostinato.failures import Failure

if TYPE_CHECKING:
    from types import CodeType, FrameType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MOST_AT_ONCE = 100_000
"""Tasks that an orchestrator may ask for without a yield between them; as many as one generation
may have on Azure, where the extension hangs beyond."""

EVENT_IDS_KEPT = 1000
"""External event ids that continue-as-new carries over."""


class Ask(Protocol):
    """Something asked of the host under a task id, until history confirms it."""

    def action(self, task_id: int) -> Action:
        """What the host is to do."""
        ...

    def confirms(self, event: Event) -> bool:
        """Whether ``event`` records this ask: same kind, same name."""
        ...

    def site(self) -> Site | None:
        """Where the orchestrator asked."""
        ...


class Waiter(Protocol):
    """Something under a task id that takes the host's answers."""

    def expects(self, event: Event) -> bool:
        """Whether ``event`` is of the kind that answers what was asked."""
        ...

    def settle(self, event: Event) -> bool:
        """Take a completion, failure or fired timer; False when it is of the wrong kind."""
        ...


class EventWaiter(Protocol):
    """A wait for an external event."""

    def take(self, event: EventRaised) -> None:
        """Finish with the event."""
        ...


class GiveUp(BaseException):
    """Raised in an orchestrator that would not stop by itself; no ``except Exception`` takes it."""


class Site:
    """A place in the orchestrator's source, resolved to a line only when it is shown."""

    __slots__ = ("_code", "_instruction")

    def __init__(self, code: CodeType, instruction: int) -> None:
        self._code = code
        self._instruction = instruction

    def __str__(self) -> str:
        line = next(
            (
                line
                for start, end, line in self._code.co_lines()
                if start <= self._instruction < end and line is not None
            ),
            self._code.co_firstlineno,
        )
        return f"{self._code.co_filename}:{line}"


class Execution:
    """One execution of one instance, between two events."""

    __slots__ = (
        "arrivals",
        "asks",
        "budget",
        "buffered",
        "clock",
        "continuation",
        "custom_status",
        "dead",
        "event_ids",
        "execution_id",
        "fatal",
        "finished",
        "input",
        "instance_id",
        "marked",
        "markers",
        "name",
        "new_markers",
        "next_id",
        "open",
        "parent",
        "patches",
        "refused_at",
        "registry",
        "replaying",
        "resumed_at",
        "undecided",
        "uuids",
        "version",
        "waiters",
        "withdrawn",
    )

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.instance_id = ""
        self.execution_id = ""
        self.name = ""
        self.version: str | None = None
        self.input = "null"
        self.parent: Parent | None = None
        self.clock = _EPOCH
        self.replaying = False
        self.undecided = False
        """Whether what is replayed was decided where no history could record it."""
        self.dead = False
        """Given up; see `corpse`."""
        self.next_id = 0
        self.budget: float = inf
        """What the orchestrator may ask for until it yields; endless while it does not run."""
        self.resumed_at = 0
        """The first task id that was not taken when the orchestrator last went on."""
        self.asks: dict[int, Ask] = {}
        self.open: dict[int, Waiter] = {}
        self.withdrawn: list[int] = []
        """Timers cancelled since the last turn."""
        self.custom_status: str | None = None
        self.fatal: Failure | None = None
        """Why the execution cannot go on; decided by us, never thrown into user code."""
        self.refused_at = 0
        """The first task id under which nothing is asked of the host, once refused."""
        self.continuation: ContinuedAsNew | None = None
        self.buffered: dict[str, deque[tuple[int, EventRaised]]] = {}
        self.arrivals = 0
        self.finished = 0
        """Tasks that have finished so far: their order in history."""
        self.waiters: dict[str, list[EventWaiter]] = {}
        self.event_ids: dict[str, None] = {}
        self.markers: set[str] = set()
        self.marked: Callable[[str], bool] | None = None
        """Whether history records a marker, where the host keeps them in a way of its own."""
        self.new_markers: list[str] = []
        self.patches: dict[str, bool] = {}
        self.uuids = 0

    @property
    def decides(self) -> bool:
        """Whether versions and patches are decided now, and not as the history has it."""
        return not self.replaying or self.undecided

    def has_marker(self, name: str) -> bool:
        """Whether history records this marker."""
        return name in self.markers or (self.marked is not None and self.marked(name))

    def corpse(self) -> Execution:
        """A copy for user code that still runs when this is given up: nothing it does counts."""
        copy = Execution(self.registry)
        copy.instance_id, copy.execution_id = self.instance_id, self.execution_id
        copy.name, copy.version, copy.input = self.name, self.version, self.input
        copy.parent, copy.clock, copy.custom_status = self.parent, self.clock, self.custom_status
        copy.budget = MOST_AT_ONCE
        copy.dead = True
        return copy

    def resume(self) -> None:
        """Let the orchestrator run to its next yield."""
        self.budget = MOST_AT_ONCE
        self.resumed_at = self.next_id

    def spend(self, count: int = 1) -> None:
        """Allow the orchestrator this many tasks more.

        Raises:
            GiveUp: They are too many: nothing that it asked for since its last yield counts.
        """
        self.budget -= count
        if self.budget >= 0:
            return
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
            "ostinato."
        ):
            frame = frame.f_back
        self.refuse(
            "TooManyTasksError",
            f"{self.name!r} asked for more than {MOST_AT_ONCE:,} tasks without a yield between "
            f"them, at {Site(frame.f_code, frame.f_lasti)}: is a yield missing in a loop? (A "
            "fan-out of more is split among children.) Mend it, then rewind",
            since=self.resumed_at,
        )
        raise GiveUp

    def take_id(self) -> int:
        """Return the next task id."""
        task_id = self.next_id
        self.next_id = task_id + 1
        return task_id

    def refuse(self, kind: str, message: str, since: int | None = None) -> None:
        """Fail the execution at its next wait; the first reason stands.

        What the code asks for between here (or the task id ``since``) and that wait is not asked
        of the host: when the instance is rewound after a mend, it may ask for something else.
        """
        if self.fatal is None and not self.dead:
            self.refused_at = self.next_id if since is None else since
            self.fatal = Failure(type=kind, message=message, bases=(f"ostinato.errors.{kind}",))

    def refuse_name(
        self, what: str, name: Name, known: list[str], frame: FrameType | None = None
    ) -> None:
        """Fail the execution because the application has no such function.

        Args:
            what: ``activity`` or ``orchestration``.
            name: What the orchestrator asked for.
            known: The names that the application has.
            frame: Where the orchestrator asked.
        """
        shown = self.registry.name_of(name)
        where = "" if frame is None else f" (asked for at {Site(frame.f_code, frame.f_lasti)})"
        if shown in known:
            message = (
                f"the function given is not the one that is registered as {shown!r}{where}: call "
                "it by its name, or put another function in its place with app.replacing(...)"
            )
        else:
            message = (
                f"{unknown_name(what, shown, known, where)} Register it, "
                f"or declare it with app.foreign_{what}({shown!r})"
            )
        self.refuse("UnknownNameError", f"{message}, then rewind")

    def raise_event(self, event: EventRaised) -> None:
        """Hand an external event to the newest live waiter, or keep it."""
        if event.event_id is not None:
            if event.event_id in self.event_ids:
                return
            self.event_ids[event.event_id] = None
        waiting = self.waiters.get(event.name)
        if waiting:
            waiting.pop().take(event)
        else:
            self.keep(event)

    def keep(self, event: EventRaised) -> None:
        """Buffer an external event, behind those of its name."""
        self.arrivals += 1
        self.buffered.setdefault(event.name, deque()).append((self.arrivals, event))

    def unread(self) -> tuple[EventRaised, ...]:
        """Buffered events in order of arrival."""
        kept = [item for queue in self.buffered.values() for item in queue]
        return tuple(event for _, event in sorted(kept, key=lambda item: item[0]))

    def remembered_ids(self) -> tuple[str, ...]:
        """The newest external event ids, oldest first."""
        return tuple(self.event_ids)[-EVENT_IDS_KEPT:]

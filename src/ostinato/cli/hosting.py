"""What runs an instance: the engine of this process, or a deployed app that is looked at."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import ostinato as ost
from ostinato import events as ev
from ostinato.cli.outcome import UsageError
from ostinato.cli.targets import AzureTarget, LocalTarget, Target, open_app
from ostinato.client import Client, InstanceStatus
from ostinato.errors import InstanceNotFoundError
from ostinato.events import Event
from ostinato.local import ActivityProgress, LocalHost, Progress

if TYPE_CHECKING:
    from ostinato_azure.client import AzureClient

POLL = 0.1
"""Seconds between two looks at an instance of this process's own."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds between two looks at a deployed app, ever more of them."""

PAUSE_SHARE = 4
"""How many times as long as the look before it a pause is at least: histories may be large."""

PATIENCE = 60.0
"""Seconds for which an app that does not answer as it should is asked again."""

KINDS = ("scheduled", "completed", "failed")
"""What `ActivityProgress` counts first; the API does not tell which attempts are retries."""

Counts: TypeAlias = Counter[tuple[str, str]]
"""How many attempts there are by activity and kind."""

_T = TypeVar("_T")


class OutOfSightError(Exception):
    """The host has not answered for so long that it is not asked any more."""


class Host(Protocol):
    """What a run needs of what runs its instance."""

    @property
    def client(self) -> Client:
        """Starts the instance, and finds it."""
        ...

    @property
    def counts_attempts(self) -> bool:
        """Whether it is not known which attempts are retries: each then counts as a call."""
        ...

    @property
    def trouble(self) -> Exception | None:
        """Why nothing moves, or nothing is seen to move, at the moment."""
        ...

    def look(self, instance_id: str, left: float | None) -> InstanceStatus | None:
        """Wait a moment, at most ``left`` seconds, and return the instance if it has ended.

        Raises:
            OutOfSightError: It cannot be seen any more; `trouble` says why.
        """
        ...

    def progress(self, instance_id: str) -> Progress:
        """Count the instance's activities."""
        ...

    def waiting_for(self, instance_id: str) -> list[str]:
        """Say what an unfinished instance waits for, in words, as far as that is known."""
        ...


@contextmanager
def hosting(target: Target, app: ost.App | None) -> Generator[Host, None, None]:
    """Host the application here, or reach the host that has it."""
    match target:
        case LocalTarget(store):
            if app is None:
                raise UsageError("there is no application to run")
            with LocalHost(app, store=store) as host:
                yield Here(host)
        case AzureTarget(url):
            with open_app(url) as client:
                yield Deployed(client)


class Here:
    """The engine of this process."""

    counts_attempts = False

    def __init__(self, host: LocalHost) -> None:
        self._host = host
        self.client: Client = host.client
        self.progress = host.progress
        self.waiting_for = host.waiting_for

    @property
    def trouble(self) -> Exception | None:
        """See `Host.trouble`."""
        return self._host.trouble

    def look(self, instance_id: str, left: float | None) -> InstanceStatus | None:
        """See `Host.look`."""
        with suppress(TimeoutError):
            return self.client.wait(instance_id, POLL if left is None else min(POLL, left))
        return None


class Deployed:
    """A deployed app, which goes on whether anybody looks or not.

    Args:
        client: Asks it.
        pause: Waits for a number of seconds.
        clock: Tells the time in seconds.
    """

    counts_attempts = True

    def __init__(
        self,
        client: AzureClient,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client: Client = client
        self.trouble: Exception | None = None
        self._app = client
        self._wait = pause
        self._clock = clock
        self._pause = 0.0
        self._woke = clock()
        self._deadline: float | None = None
        """When it is too late for an answer."""
        self._troubled_since: float | None = None
        self._ended: dict[str, Counts] = {}
        """What is known of children that change no more."""

    def look(self, instance_id: str, left: float | None) -> InstanceStatus | None:
        """See `Host.look`."""
        self._deadline = None if left is None else self._clock() + left
        if self._pause:
            took = self._clock() - self._woke
            pause = self._pause if self.trouble else max(self._pause, PAUSE_SHARE * took)
            self._wait(pause if left is None else min(pause, left))
        self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
        self._woke = self._clock()
        return self._asked(lambda: self._end(instance_id), None)

    def _end(self, instance_id: str) -> InstanceStatus | None:
        if not self._app.runtime_status(instance_id, within=self._left()).is_finished:
            return None
        return self._app.get_status(instance_id, within=self._left())

    def progress(self, instance_id: str) -> Progress:
        """See `Host.progress`; an attempt that is tried again counts as a call of its own."""
        counts = self._asked(lambda: self._count(instance_id), Counts())
        return _progress(counts)

    def waiting_for(self, instance_id: str) -> list[str]:
        """See `Host.waiting_for`; ``ostinato status``, which is named then, asks the app for it."""
        return []

    def _asked(self, ask: Callable[[], _T], otherwise: _T) -> _T:
        """What the app answers; where it does not, or not as it should, ``otherwise``, for a while.

        What asking again does not mend is raised.
        """
        from ostinato_azure.webhook import AzureError, NoAccessError

        try:
            answer = ask()
        except NoAccessError:
            raise
        except AzureError as error:
            self.trouble = error
            now = self._clock()
            if self._troubled_since is None:
                self._troubled_since = now
            if now - self._troubled_since >= PATIENCE:
                raise OutOfSightError from error
            return otherwise
        self.trouble = self._troubled_since = None
        return answer

    def _left(self) -> float | None:
        """Seconds in which an answer must come, if there is a time."""
        return None if self._deadline is None else max(0.0, self._deadline - self._clock())

    def _count(self, instance_id: str) -> Counts:
        """The counts of an instance and of its children."""
        counts, children = _counted(self._app.get_outline(instance_id, within=self._left()))
        for child, has_ended in children.items():
            below = self._ended.get(child)
            if below is None:
                with suppress(InstanceNotFoundError):  # it was purged
                    below = self._count(child)
            if below is not None:
                counts += below
                if has_ended:
                    self._ended[child] = below
        return counts


def _counted(history: Sequence[Event]) -> tuple[Counts, dict[str, bool]]:
    """The counts of a history's own activities; its children, and whether they have ended."""
    names: dict[int, str] = {}
    counts = Counts()
    children: dict[int, str] = {}
    ended: set[str] = set()
    for event in history:
        match event:
            case ev.TaskScheduled():
                names[event.task_id] = event.name
                counts[event.name, "scheduled"] += 1
            case ev.TaskCompleted():
                counts[names[event.task_id], "completed"] += 1
            case ev.TaskFailed():
                counts[names[event.task_id], "failed"] += 1
            case ev.SubOrchestrationInstanceCreated():
                children[event.task_id] = event.instance_id
            case ev.SubOrchestrationInstanceCompleted() | ev.SubOrchestrationInstanceFailed():
                ended.add(children[event.task_id])
            case _:
                pass
    return counts, {child: child in ended for child in children.values()}


def _progress(counts: Counts) -> Progress:
    by_activity = {
        name: ActivityProgress(*(counts[name, kind] for kind in KINDS))
        for name in dict.fromkeys(name for name, _ in counts)
    }
    all_of_them = by_activity.values()
    return Progress(
        scheduled=sum(one.scheduled for one in all_of_them),
        completed=sum(one.completed for one in all_of_them),
        failed=sum(one.failed for one in all_of_them),
        by_activity=by_activity,
    )

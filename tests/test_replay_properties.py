"""What holds for every orchestrator and every order of events.

An orchestrator is a generated script: a list of steps that one generator function walks
through, keeping a log of all that it sees, which is its output. A world answers what it asks
for in a generated order and keeps its history, turn by turn, as a host does.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias, assert_never

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato import events as ev
from ostinato.actions import (
    Action,
    CancelTimer,
    CompleteOrchestration,
    CreateSubOrchestration,
    CreateTimer,
    Failed,
    Outcome,
    RecordMarker,
    ScheduleTask,
    SendEvent,
    TerminateChild,
    scheduling_event,
)
from ostinato.events import Event
from ostinato.replay import Orchestration, replay
from tests.histories import (
    Flow,
    at,
    child_completed,
    child_failed,
    completed,
    failed,
    raised,
    resumed,
    started,
    suspended,
    terminated,
    turn,
)

NAMES = ("a", "b")
EVENTS = ("go", "stop")

COMPLETIONS = (
    ev.TaskCompleted,
    ev.TaskFailed,
    ev.TimerFired,
    ev.SubOrchestrationInstanceCompleted,
    ev.SubOrchestrationInstanceFailed,
)
SCHEDULING = (
    ev.TaskScheduled,
    ev.TimerCreated,
    ev.SubOrchestrationInstanceCreated,
    ev.EventSent,
)


# Scripts


@dataclass(frozen=True)
class Activity:
    name: str
    attempts: int
    delay: int


@dataclass(frozen=True)
class Map:
    name: str
    size: int
    bound: int | None


@dataclass(frozen=True)
class Timer:
    seconds: int


@dataclass(frozen=True)
class External:
    name: str
    timeout: int | None


@dataclass(frozen=True)
class Kid:
    name: str
    attempts: int


@dataclass(frozen=True)
class All:
    of: list[Wait]


@dataclass(frozen=True)
class Any_:
    of: list[Wait]


Wait: TypeAlias = Activity | Map | Timer | External | Kid | All | Any_


@dataclass(frozen=True)
class Await:
    wait: Wait
    cancel_losers: bool


@dataclass(frozen=True)
class Fire:
    """Ask, and never wait."""

    wait: Wait


@dataclass(frozen=True)
class OneWay:
    kind: str


@dataclass(frozen=True)
class Look:
    """At whatever is the same on every replay."""

    what: str


@dataclass(frozen=True)
class Try:
    body: list[Step]
    handler: list[Step]
    cleanup: list[Step]


@dataclass(frozen=True)
class Loop:
    times: int
    body: list[Step]


@dataclass(frozen=True)
class Raise:
    pass


Step: TypeAlias = Await | Fire | OneWay | Look | Try | Loop | Raise

leaves: st.SearchStrategy[Wait] = st.one_of(
    st.builds(Activity, st.sampled_from(NAMES), st.integers(1, 3), st.integers(0, 2)),
    st.builds(Map, st.sampled_from(NAMES), st.integers(0, 3), st.none() | st.integers(1, 2)),
    st.builds(Timer, st.integers(-5, 100)),
    st.builds(External, st.sampled_from(EVENTS), st.none() | st.integers(1, 50)),
    st.builds(Kid, st.just("kid"), st.integers(1, 2)),
)
waits: st.SearchStrategy[Wait] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(All, st.lists(inner, max_size=3)),
        st.builds(Any_, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)
simple: st.SearchStrategy[Step] = st.one_of(
    st.builds(Await, waits, st.booleans()),
    st.builds(Fire, waits),
    st.builds(OneWay, st.sampled_from(["send", "start", "renew"])),
    st.builds(Look, st.sampled_from(["clock", "uuid", "random", "status", "patch"])),
    st.builds(Raise),
)
steps: st.SearchStrategy[Step] = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(
            Try,
            st.lists(inner, min_size=1, max_size=3),
            st.lists(inner, max_size=2),
            st.lists(inner, max_size=2),
        ),
        st.builds(Loop, st.integers(1, 3), st.lists(inner, min_size=1, max_size=2)),
    ),
    max_leaves=6,
)
scripts = st.lists(steps, min_size=1, max_size=5)


def asked(ctx: ost.OrchestrationContext, wait: Wait) -> ost.Task[Any]:
    """Ask for what a script waits for."""
    match wait:
        case Activity(name, attempts, delay):
            return ctx.call_activity(name, delay, retry=ost.RetryPolicy(attempts, delay))
        case Map(name, size, bound):
            return ctx.map(name, range(size), max_concurrency=bound)
        case Timer(seconds):
            return ctx.create_timer(timedelta(seconds=seconds))
        case External(name, timeout):
            return ctx.wait_for_external_event(name, timeout=timeout)
        case Kid(name, attempts):
            return ctx.call_sub_orchestrator(name, retry=ost.RetryPolicy(attempts, 1))
        case All(of):
            return ctx.task_all([asked(ctx, one) for one in of])
        case Any_(of):
            return ctx.task_any([asked(ctx, one) for one in of])
        case _:
            assert_never(wait)


def walked(ctx: ost.OrchestrationContext, script: list[Step], log: list[str]) -> Flow:
    """Walk through a script."""
    for step in script:
        match step:
            case Await(wait, cancel_losers):
                yield from awaited(ctx, wait, cancel_losers, log)
            case Fire(wait):
                asked(ctx, wait)
            case OneWay("send"):
                ctx.send_event("other", "go", len(log))
            case OneWay("renew"):
                ctx.continue_as_new(len(log))
            case OneWay():
                log.append(ctx.start_orchestration("kid", len(log)))
            case Look(what):
                log.append(looked(ctx, what, log))
            case Try(body, handler, cleanup):
                try:
                    yield from walked(ctx, body, log)
                except Exception as error:
                    log.append(f"caught {type(error).__name__}")
                    yield from walked(ctx, handler, log)
                finally:
                    log.append("cleaning")
                    yield from walked(ctx, cleanup, log)
            case Loop(times, body):
                for _ in range(times):
                    yield from walked(ctx, body, log)
            case Raise():
                raise ArithmeticError(f"after {len(log)}")
            case _:
                assert_never(step)


def awaited(ctx: ost.OrchestrationContext, wait: Wait, cancel_losers: bool, log: list[str]) -> Flow:
    task = asked(ctx, wait)
    result = yield task
    if isinstance(wait, Any_):
        children: list[Any] = list(task.children)  # type: ignore[attr-defined]
        log.append(f"winner {children.index(result)}: {shown(result)}")
        for loser in children:
            if cancel_losers and hasattr(loser, "cancel") and not loser.is_completed:
                loser.cancel()
                log.append("cancelled")
    else:
        log.append(shown(result))


def shown(result: Any) -> str:
    """A result as text that does not depend on where things are in memory."""
    if isinstance(result, ost.Task):
        return f"task of {shown(result.result)}"
    return f"[{', '.join(map(shown, result))}]" if isinstance(result, list) else repr(result)


def looked(ctx: ost.OrchestrationContext, what: str, log: list[str]) -> str:
    match what:
        case "clock":
            return ctx.current_utc_datetime.isoformat()
        case "uuid":
            return ctx.new_uuid()
        case "random":
            return str(ctx.random.random())
        case "patch":
            return str(ctx.patched(f"p{len(log) % 2}"))
        case _:
            ctx.set_custom_status(len(log))
            return "status"


def app_of(script: list[Step]) -> ost.App:
    app = ost.App("properties")
    for name in NAMES:
        app.foreign_activity(name)
    app.foreign_orchestration("kid")

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        log: list[str] = []
        yield from walked(ctx, script, log)
        return log

    return app


# The world


@dataclass
class Turn:
    """What came, and what was then asked for."""

    messages: list[Event]
    actions: list[Action]

    @property
    def events(self) -> list[Event]:
        """The part of the history that this turn is."""
        recorded = (scheduling_event(action, self.messages[0].at) for action in self.actions)
        return [*self.messages, *(event for event in recorded if event is not None)]


@dataclass
class World:
    """Answers an orchestration as a host would, in an order that is given as numbers."""

    turns: list[Turn] = field(default_factory=list)
    pending: dict[int, Action] = field(default_factory=dict)
    seconds: int = 0
    suspended: bool = False

    def play(self, orchestration: Orchestration, choices: list[list[int]]) -> None:
        self.turn(orchestration, [started("flow")])
        for numbers in choices:
            if orchestration.outcome is not None:
                return
            self.turn(orchestration, [m for number in numbers for m in self.message(number)])

    def turn(self, orchestration: Orchestration, messages: list[Event]) -> None:
        taken = [turn(self.seconds), *messages]
        for event in taken:
            orchestration.apply(event)
        actions = orchestration.take_actions()
        self.turns.append(Turn(taken, actions))
        for action in actions:
            if isinstance(action, ScheduleTask | CreateTimer | CreateSubOrchestration):
                self.pending[action.task_id] = action

    def message(self, number: int) -> Iterator[Event]:
        """What a number stands for: rarely a step from outside, mostly an answer."""
        kind, number = number % 10, number // 10
        self.seconds += number % 7
        if kind == 0:
            yield raised(EVENTS[number % 2], number, event_id=[None, "x", "y"][number % 3])
        elif kind == 1 and number % 3 == 0:
            yield resumed() if self.suspended else suspended()
            self.suspended = not self.suspended
        elif kind == 2 and number % 11 == 0:
            yield terminated("enough")
        elif self.pending:
            yield from self.answer(sorted(self.pending)[number % len(self.pending)], number)

    def answer(self, task_id: int, number: int) -> Iterator[Event]:
        action = self.pending.pop(task_id)
        well = number % 3 != 0
        error = (ValueError(f"{number}"), OSError(2, "gone"), RuntimeError("x" * 3))[number % 3]
        if isinstance(action, ScheduleTask):
            yield completed(task_id, number) if well else failed(task_id, error)
        elif isinstance(action, CreateTimer):
            self.seconds = max(self.seconds, int((action.due - at(0)).total_seconds()))
            yield ev.TimerFired(at=at(self.seconds), task_id=task_id, due=action.due)
        elif isinstance(action, CreateSubOrchestration) and not action.detached:
            yield child_completed(task_id, number) if well else child_failed(task_id, error)

    @property
    def history(self) -> list[Event]:
        return history_of(self.turns)


orders = st.lists(st.lists(st.integers(0, 400), min_size=1, max_size=3), max_size=14)


@contextmanager
def played(
    script: list[Step], order: list[list[int]]
) -> Generator[tuple[ost.App, World, Orchestration]]:
    """An orchestration that has lived through an order of events."""
    app = app_of(script)
    world = World()
    with fresh(app) as orchestration:
        world.play(orchestration, order)
        yield app, world, orchestration


def fresh(app: ost.App) -> closing[Orchestration]:
    return closing(Orchestration(app.registry))


def state(orchestration: Orchestration) -> tuple[Outcome | None, str | None, bool, Any]:
    """What hosts and clients see of an orchestration."""
    return (
        comparable(orchestration.outcome),
        orchestration.custom_status,
        orchestration.suspended,
        orchestration.waiting_for(),
    )


def comparable(value: Any) -> Any:
    """Without tracebacks, which show the frames of whoever fed the event."""
    if isinstance(value, CompleteOrchestration):
        return CompleteOrchestration(comparable(value.outcome))
    if not isinstance(value, Failed):
        return value
    return Failed(bare(value.failure))


def bare(failure: ost.Failure) -> ost.Failure:
    cause = None if failure.cause is None else bare(failure.cause)
    return msgspec.structs.replace(failure, traceback="", cause=cause)


def bared(actions: Sequence[Action]) -> list[Any]:
    return [comparable(action) for action in actions]


# What holds


@settings(deadline=None)
@given(scripts, orders)
def test_a_history_replayed_in_one_go_gives_the_same(script: list[Step], order: list[list[int]]):
    with played(script, order) as (app, world, live), fresh(app) as again:
        again.replay(world.history)
        assert again.take_actions() == []
        assert state(again) == state(live)
        assert replay(app.registry, world.history) == []


@settings(deadline=None)
@given(scripts, orders)
def test_a_history_applied_event_by_event_gives_the_same(
    script: list[Step], order: list[list[int]]
):
    with played(script, order) as (app, world, live), fresh(app) as again:
        for event in world.history:
            again.apply(event)
        assert [action for action in again.take_actions() if is_recorded(action)] == []
        assert state(again) == state(live)


@settings(deadline=None)
@given(scripts, orders, st.integers(0, 20))
def test_a_history_split_at_any_turn_gives_the_same_from_there_on(
    script: list[Step], order: list[list[int]], at_turn: int
):
    with played(script, order) as (app, world, live), fresh(app) as again:
        split = at_turn % len(world.turns)
        again.replay(history_of(world.turns[:split]))
        assert again.take_actions() == []
        for number, turn in enumerate(world.turns[split:]):
            for event in turn.messages:
                again.apply(event)
            assert bared(again.take_actions()) == bared(turn.actions), f"turn {split + number}"
        assert state(again) == state(live)


@settings(deadline=None)
@given(scripts, orders, st.integers(0, 20))
def test_a_turn_whose_actions_are_not_recorded_is_asked_for_again(
    script: list[Step], order: list[list[int]], at_turn: int
):
    with played(script, order) as (app, world, _), fresh(app) as again:
        split = at_turn % len(world.turns)
        turn = world.turns[split]
        # A patch is decided anew by code that replays: the answer may differ until it is recorded.
        assume(not any(isinstance(action, RecordMarker) for action in turn.actions))
        again.replay([*history_of(world.turns[:split]), *turn.messages])
        expected = [action for action in turn.actions if not isinstance(action, CancelTimer)]
        assert bared(again.take_actions()) == bared(expected)


@settings(deadline=None)
@given(scripts, orders, st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=5))
def test_duplicates_of_completions_change_nothing(
    script: list[Step], order: list[list[int]], copies: list[tuple[int, int]]
):
    with played(script, order) as (app, world, live), fresh(app) as again:
        history = world.history
        for which, later in copies:
            sources = [p for p, event in enumerate(history) if isinstance(event, COMPLETIONS)]
            assume(sources)
            source = sources[which % len(sources)]
            history.insert(source + 1 + later % (len(history) - source), history[source])
        again.replay(history)
        assert again.take_actions() == []
        assert state(again) == state(live)


@settings(deadline=None)
@given(scripts, orders)
def test_task_ids_count_up_from_0_without_gaps(script: list[Step], order: list[list[int]]):
    with played(script, order) as (_, world, orchestration):
        ids = [event.task_id for event in world.history if isinstance(event, SCHEDULING)]
        assert ids == list(range(orchestration.weight))


@settings(deadline=None)
@given(scripts, orders)
def test_every_event_sent_has_the_id_of_its_task(script: list[Step], order: list[list[int]]):
    with played(script, order) as (_, world, _):
        sends = [a for turn in world.turns for a in turn.actions if isinstance(a, SendEvent)]
        assert [send.event_id for send in sends] == [f"e:{send.task_id}" for send in sends]


@settings(deadline=None)
@given(scripts, orders)
def test_a_closed_orchestration_leaves_nothing_behind(script: list[Step], order: list[list[int]]):
    with no_unraisable_exceptions(), played(script, order) as (app, world, _):
        for length in range(len(world.history) + 1):
            again = Orchestration(app.registry)
            again.replay(world.history[:length])
            before = state(again)
            again.close()
            assert state(again) == before
            del again


@settings(deadline=None)
@given(scripts, orders, st.integers(0, 99), st.sampled_from(["rename", "retype", "remove"]))
def test_a_history_with_another_scheduling_event_is_a_mismatch(
    script: list[Step], order: list[list[int]], which: int, change: str
):
    with played(script, order) as (app, world, _), fresh(app) as again:
        history = world.history
        positions = [p for p, e in enumerate(history) if changeable(e, change, history, app)]
        assume(positions)
        position = positions[which % len(positions)]
        event: Any = history[position]
        match change:
            case "rename":
                history[position] = msgspec.structs.replace(event, name=f"{event.name}-renamed")
            case "retype":
                history[position] = retyped(event)
            case _:
                del history[position]
        again.replay(history)
        assert isinstance(again.outcome, Failed)
        assert again.outcome.failure.type == "NonDeterminismError"


def changeable(event: Event, change: str, history: list[Event], app: ost.App) -> bool:
    """Whether the history tells that the event was changed.

    A timer has no name. What is missing is asked for again, unless its answer contradicts.
    """
    if not isinstance(event, SCHEDULING):
        return False
    if change == "rename":
        return not isinstance(event, ev.TimerCreated)
    return change == "retype" or any(
        is_heeded(position, history, app)
        for position, answer in enumerate(history)
        if isinstance(answer, COMPLETIONS) and answer.task_id == event.task_id
    )


def is_heeded(position: int, history: list[Event], app: ost.App) -> bool:
    """Whether a completion was applied: not dropped, and not held by a suspension."""
    completion: Any = history[position]
    with fresh(app) as orchestration:
        orchestration.replay(history[:position])
        return (
            orchestration.is_open(completion.task_id)
            and orchestration.outcome is None
            and not orchestration.suspended
        )


def retyped(event: Any) -> Event:
    """Another kind of event under the same id."""
    if isinstance(event, ev.TimerCreated):
        return ev.TaskScheduled(at=event.at, task_id=event.task_id, name="a")
    return ev.TimerCreated(at=event.at, task_id=event.task_id, due=event.at)


def history_of(turns: list[Turn]) -> list[Event]:
    return [event for turn in turns for event in turn.events]


def is_recorded(action: Action) -> bool:
    """Whether history tells that the action was taken."""
    return not isinstance(action, CancelTimer | TerminateChild)


@contextmanager
def no_unraisable_exceptions() -> Generator[None]:
    seen: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, seen.append
    try:
        yield
    finally:
        sys.unraisablehook = hook
    assert seen == []

"""Generated orchestrations: a program is data, and one orchestrator walks through any.

What a program says is the same on every host. So it has nothing that hosts may settle either
way: of what ends by itself, with no time passing, an ``any`` has one at most; and of what has
attempts that fail, there is one at a time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias, assert_never

import msgspec
from hypothesis import strategies as st

import ostinato as ost

from .app import InsufficientFunds
from .model import Flow

app = ost.App("programs")

EVENTS = ("a", "b")
SIZES = ("small", "large")
FIRST_KID = "-0-1"
"""Ends the id of the first child that has one of its own, if nothing was seen before it."""
DAY = 86_400


class _Part(msgspec.Struct, tag=True):
    """A part of a program; its class is told by a tag."""


# What is waited for


class Call(_Part):
    """An activity that succeeds at an attempt; ``of`` is how many it may have."""

    succeeds_at: int
    of: int
    delay: int


class Map(_Part):
    """A bounded fan-out, each item of which succeeds at an attempt of its own."""

    succeed_at: tuple[int, ...]
    bound: int | None


class Timer(_Part):
    seconds: int


class External(_Part):
    name: str
    timeout: int | None


class Kid(_Part):
    """A child with a program of its own, under an id of its own or not."""

    program: tuple[Step, ...]
    of: int
    has_id: bool


class All(_Part):
    of: tuple[Wait, ...]


class Any_(_Part):
    of: tuple[Wait, ...]


Wait: TypeAlias = Call | Map | Timer | External | Kid | All | Any_


# What is done


class Await(_Part):
    wait: Wait
    cancel: bool
    """Whether losers of an ``any`` are cancelled, if they can be."""


class Fire(_Part):
    """Ask, and never wait."""

    wait: Wait


class Hold(_Part):
    """Ask, and wait later, perhaps."""

    wait: Wait


class AwaitHeld(_Part):
    """Wait for the first of all that was asked for before, or for one of it, or for all."""

    which: int
    how: str


class Begin(_Part):
    """Start an instance that belongs to nobody."""

    program: tuple[Step, ...]


class Send(_Part):
    """Send an event to this very instance."""

    name: str
    size: str


class Status(_Part):
    text: str | None


class Clock(_Part):
    pass


class Patch(_Part):
    id: str


class Raise(_Part):
    pass


class Try(_Part):
    body: tuple[Step, ...]
    handler: tuple[Step, ...]


class Renew(_Part):
    """Go on as new, with the rest of the program."""

    keep_events: bool


Step: TypeAlias = (
    Await | Fire | Hold | AwaitHeld | Begin | Send | Status | Clock | Patch | Raise | Try | Renew
)


# Walking


class Walk(msgspec.Struct, frozen=True):
    """Where an instance is: what it has to do, and what it has seen."""

    program: tuple[Step, ...]
    log: tuple[str, ...] = ()


@app.activity(raises=[InsufficientFunds])
def attempt(succeeds_at: int, context: ost.ActivityContext) -> int:
    """Fail until an attempt, then tell which one it was."""
    if context.attempt < succeeds_at:
        if succeeds_at % 2:
            raise InsufficientFunds(succeeds_at, account="current")
        raise ConnectionError(f"attempt {context.attempt}")
    return context.attempt


@app.orchestration
def walk(ctx: ost.OrchestrationContext, start: Walk) -> Flow:
    """Walk through a program; the output is all that was seen."""
    walker = Walker(ctx, list(start.log))
    for position, step in enumerate(start.program):
        if isinstance(step, Renew):
            rest = Walk(start.program[position + 1 :], tuple(walker.log))
            ctx.continue_as_new(rest, keep_events=step.keep_events)
            return None
        yield from walker.take(step)
    return walker.log


class Walker:
    """Takes steps of a program and keeps a log of what is seen."""

    def __init__(self, ctx: ost.OrchestrationContext, log: list[str]) -> None:
        self._ctx = ctx
        self._kids = 0
        self._held: list[Any] = []
        self.log = log

    def take(self, step: Step) -> Flow:
        ctx = self._ctx
        match step:
            case Await(wait, cancel):
                yield from self._await(wait, cancel=cancel)
            case Fire(wait):
                self._ask(wait)
            case Hold(wait):
                self._held.append(self._ask(wait))
            case AwaitHeld(which, how):
                yield from self._await_held(which, how)
            case Begin(program):
                ctx.start_orchestration(walk, Walk(program), self._kid_id())
            case Send(name, size):
                ctx.send_event(ctx.instance_id, name, text_of(size))
                yield ctx.create_timer(timedelta(seconds=1))  # until then it has come
            case Status(text):
                ctx.set_custom_status(text)
            case Clock():
                self.log.append(ctx.current_utc_datetime.isoformat())
            case Patch(id):
                self.log.append(f"{id} {ctx.patched(id)}")
            case Raise():
                raise InsufficientFunds(len(self.log), account="savings")
            case Try(body, handler):
                try:
                    for one in body:
                        yield from self.take(one)
                except Exception as error:
                    self.log.append(told(error))
                    for one in handler:
                        yield from self.take(one)
            case Renew():
                raise AssertionError("programs go on as new at their top alone")
            case _:
                assert_never(step)

    def _await(self, wait: Wait, *, cancel: bool) -> Flow:
        task = self._ask(wait)
        result = yield task
        if not isinstance(wait, Any_):
            self.log.append(shown(result))
            return
        children: list[Any] = list(task.children)
        self.log.append(f"winner {children.index(result)}")
        for loser in children:
            if cancel and hasattr(loser, "cancel") and not loser.is_completed:
                loser.cancel()
                self.log.append("cancelled")
        self.log.append(shown(result.result))

    def _await_held(self, which: int, how: str) -> Flow:
        held = self._held
        match how:
            case _ if not held:
                return
            case "one":
                task = held[which % len(held)]
                self.log.append(f"done {task.is_completed}")
                self.log.append(shown((yield task)))
            case "any":
                winner = yield self._ctx.task_any(held)
                self.log.append(f"winner {held.index(winner)}")
                held.remove(winner)
            case _:
                self.log.append(shown((yield self._ctx.task_all(held[:2]))))

    def _kid_id(self) -> str:
        self._kids += 1
        return f"{self._ctx.instance_id}-{len(self.log)}-{self._kids}"

    def _ask(self, wait: Wait) -> Any:
        ctx = self._ctx
        match wait:
            case Call(succeeds_at, of, delay):
                retry = ost.RetryPolicy(of, delay, backoff=2)
                return ctx.call_activity(attempt, succeeds_at, retry=retry)
            case Map(succeed_at, bound):
                retry = ost.RetryPolicy(2, 3)
                return ctx.map(attempt, succeed_at, max_concurrency=bound, retry=retry)
            case Timer(seconds):
                return ctx.create_timer(timedelta(seconds=seconds))
            case External(name, timeout):
                return ctx.wait_for_external_event(name, timeout=timeout)
            case Kid(program, of, has_id):
                id = self._kid_id() if has_id else None
                retry = ost.RetryPolicy(of, 5)
                return ctx.call_sub_orchestrator(walk, Walk(program), id, retry=retry)
            case All(of):
                return ctx.task_all([self._ask(one) for one in of])
            case Any_(of):
                return ctx.task_any([self._ask(one) for one in of])
            case _:
                assert_never(wait)


def text_of(size: str) -> str:
    return {"small": "x", "large": "é" * 40_000}[size]


def told(error: BaseException) -> str:
    kinds = [kind.__name__ for kind in (OSError, InsufficientFunds) if isinstance(error, kind)]
    return f"{type(error).__name__} {kinds} {error}"


def shown(result: Any) -> str:
    """A result as short text."""
    match result:
        case str():
            return f"text of {len(result)}"
        case ost.Task():
            return f"task of {shown(result.result)}"
        case list():
            return f"[{', '.join(map(shown, result))}]"
        case _:
            return repr(result)


# Generating


QUICK = st.builds(Call, succeeds_at=st.just(1), of=st.just(1), delay=st.just(1))
BOUNDS = st.none() | st.integers(1, 3)
MAPS = st.builds(Map, st.lists(st.just(1), max_size=6).map(tuple), BOUNDS)
SUCCEEDS = st.one_of(
    QUICK,
    MAPS,
    st.builds(lambda n, delay: Call(n, n, delay), st.integers(1, 3), st.integers(1, 100)),
    st.builds(Map, st.lists(st.integers(1, 2), max_size=4).map(tuple), BOUNDS),
)
FAILS = st.one_of(
    st.builds(lambda n, delay: Call(n + 1, n, delay), st.integers(1, 3), st.integers(1, 100)),
    st.builds(Map, st.just((1, 3)), st.none() | st.integers(1, 2)),
)
SLOW = st.one_of(
    st.builds(Timer, st.one_of(st.integers(-1, 200), st.integers(DAY, 12 * DAY))),
    st.builds(External, st.sampled_from(EVENTS), st.none() | st.integers(1, 200)),
)


def kids(programs: st.SearchStrategy[tuple[Step, ...]]) -> st.SearchStrategy[Wait]:
    return st.builds(Kid, programs, st.integers(1, 2), st.booleans())


def waits(kid: st.SearchStrategy[Wait] | None) -> st.SearchStrategy[Wait]:
    """What a program of no children, or of these, may wait for."""
    by_itself = st.one_of(SUCCEEDS, FAILS, *([] if kid is None else [kid]))
    alls = st.builds(
        lambda some, one, at: All((*some[:at], *one, *some[at:])),
        st.lists(st.one_of(QUICK, st.builds(Timer, st.integers(1, 50))), max_size=3),
        st.lists(by_itself, max_size=1),
        st.integers(0, 3),
    )
    anys = st.builds(
        lambda some, one, at: Any_((*some[:at], *one, *some[at:])),
        st.lists(st.one_of(SLOW, st.builds(All, st.tuples(SLOW, SLOW))), min_size=1, max_size=3),
        st.lists(by_itself | alls, max_size=1),
        st.integers(0, 3),
    )
    return st.one_of(SLOW, by_itself, alls, anys, st.builds(All, st.tuples(anys, QUICK)))


def steps(
    wait: st.SearchStrategy[Wait], *begins: st.SearchStrategy[Step]
) -> st.SearchStrategy[Step]:
    simple: st.SearchStrategy[Step] = st.one_of(
        st.builds(Await, wait, st.booleans()),
        st.builds(Await, wait, st.booleans()),
        st.builds(Fire, st.one_of(QUICK, SLOW, MAPS)),
        st.builds(Hold, st.one_of(SLOW, SLOW, QUICK)),
        st.builds(AwaitHeld, st.integers(0, 3), st.sampled_from(["one", "any", "all"])),
        *begins,
        st.builds(Send, st.sampled_from(EVENTS), st.sampled_from(SIZES)),
        st.builds(Status, st.none() | st.sampled_from(["first", "second"])),
        st.builds(Clock),
        st.builds(Patch, st.sampled_from(["p", "q"])),
        st.builds(Raise),
    )
    few = st.lists(simple, min_size=1, max_size=2).map(tuple)
    return st.one_of(simple, simple, st.builds(Try, few, few))


KID_PROGRAMS = st.lists(steps(waits(None)), max_size=3).map(tuple)
WHOLE = steps(waits(kids(KID_PROGRAMS)), st.builds(Begin, KID_PROGRAMS))
PROGRAMS: st.SearchStrategy[tuple[Step, ...]] = st.lists(
    st.one_of(WHOLE, WHOLE, WHOLE, WHOLE, st.builds(Renew, st.booleans())),
    min_size=1,
    max_size=6,
).map(tuple)

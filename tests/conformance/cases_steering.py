"""What clients do to instances: start, suspend, terminate, rewind, restart, purge."""

from __future__ import annotations

from datetime import timedelta

import ostinato as ost

from .app import add_one, app, case, greet, held, mendable, note
from .model import (
    Advance,
    Check,
    Flow,
    Noted,
    Now,
    Open,
    Purge,
    RaiseEvent,
    Refused,
    Restart,
    Resume,
    Rewind,
    Start,
    Suspend,
    Terminate,
    completes,
    fails,
    stays,
    terminated,
)

PENDING = stays(ost.RuntimeStatus.PENDING)
RUNNING = stays(ost.RuntimeStatus.RUNNING)
SUSPENDED = stays(ost.RuntimeStatus.SUSPENDED)


# Start


@case(
    "a start at a later time is pending until then",
    completes("hello"),
    Check(PENDING),
    Advance(3599),
    Check(PENDING),
    Advance(1),
    Check(completes("hello")),
    start_at=timedelta(hours=1),
)
@case(
    "an id is refused while it is in use and after, unless asked otherwise",
    completes("hello"),
    Refused(Start("greeting", id="{id}"), ost.InstanceExistsError),
    Start("greeting", id="{id}", if_exists="attach"),
    Start("greeting", id="{id}", if_exists="replace_finished"),
    Refused(Start("unheard_of"), ost.UnknownNameError),
    Refused(Start("greeting", id="no/slashes"), ost.InvalidInstanceIdError),
    Refused(Start("greeting", id="@entity"), ost.InvalidInstanceIdError),
    Refused(Start("greeting", id="x" * 101), ost.InvalidInstanceIdError),
    Start("greeting", id="letters-DIGITS_0.1:2@3"),
    Purge(1, to="letters-DIGITS_0.1:2@3"),
    Refused(Start("greeting", float("nan")), ost.CodecError),
)
@app.orchestration
def greeting(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(greet))


@case(
    "an unfinished instance is attached to, and not replaced",
    completes("first"),
    Start("waits_with", "second", id="{id}", if_exists="attach"),
    Refused(
        Start("waits_with", "second", id="{id}", if_exists="replace_finished"),
        ost.InstanceExistsError,
    ),
    RaiseEvent("go"),
    input="first",
)
@case(
    "a finished instance is replaced when asked",
    completes("second"),
    RaiseEvent("go"),
    Check(completes("first")),
    Start("waits_with", "second", id="{id}", if_exists="replace_finished"),
    Check(RUNNING),
    RaiseEvent("go"),
    input="first",
)
@app.orchestration
def waits_with(ctx: ost.OrchestrationContext, word: str) -> Flow:
    yield ctx.wait_for_external_event("go")
    return word


# Suspend and resume


@case(
    "while suspended everything is held, then applied in order",
    completes([1, 2, 3]),
    Suspend("lunch"),
    Check(SUSPENDED),
    RaiseEvent("n", 1),
    RaiseEvent("n", 2),
    RaiseEvent("n", 3),
    Check(SUSPENDED),
    Resume("back"),
)
@case(
    "suspending twice is as once, resuming what is not suspended does nothing",
    completes([1, 2, 3]),
    Resume(),
    Suspend(),
    Suspend(),
    RaiseEvent("n", 1),
    Resume(),
    Resume(),
    RaiseEvent("n", 2),
    RaiseEvent("n", 3),
)
@case(
    "a suspended instance can be terminated",
    terminated("gone"),
    Suspend(),
    RaiseEvent("n", 1),
    Terminate("gone"),
)
@case(
    "an instance stays suspended for as long as nobody resumes it",
    SUSPENDED,
    Suspend(),
    RaiseEvent("n", 1),
    RaiseEvent("n", 2),
    RaiseEvent("n", 3),
    Advance(timedelta(days=30)),
)
@case(
    "an instance can be terminated while it waits",
    terminated("enough"),
    Terminate("enough"),
    Refused(Terminate(), ost.InstanceFinishedError),
    Refused(RaiseEvent("n", 1), ost.InstanceFinishedError),
    Refused(Rewind(), ost.NotRewindableError),
)
@case(
    "an instance that has not begun can be terminated",
    terminated("never mind"),
    Now(Terminate("never mind")),
    start_at=timedelta(hours=1),
)
@case(
    "a running instance is not purged, nor restarted in its place, nor rewound",
    completes([1, 2, 3]),
    Refused(Purge(0), ost.InstanceExistsError),
    Refused(Restart(), ost.InstanceExistsError),
    Refused(Rewind(), ost.NotRewindableError),
    RaiseEvent("n", 1),
    RaiseEvent("n", 2),
    RaiseEvent("n", 3),
)
@app.orchestration
def takes_three(ctx: ost.OrchestrationContext) -> Flow:
    taken = []
    for _ in range(3):
        taken.append((yield ctx.wait_for_external_event("n")))
    return taken


@case(
    "a timer that is due while its instance is suspended is held",
    completes("fired"),
    Suspend(),
    Advance(120),
    Check(SUSPENDED),
    Resume(),
    Check(completes("fired")),
)
@app.orchestration
def suspended_timer(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.create_timer(timedelta(minutes=1))
    return "fired"


@case(
    "a deadline that passes while its instance is suspended goes before a later event",
    completes("too late"),
    Advance(timedelta(days=1)),
    Suspend(),
    *[Advance(timedelta(days=1))] * 10,
    RaiseEvent("approved"),
    Resume(),
)
@app.orchestration
def suspended_deadline(ctx: ost.OrchestrationContext) -> Flow:
    approved = ctx.wait_for_external_event("approved")
    winner = yield ctx.task_any([approved, ctx.create_timer(timedelta(days=8))])
    return "in time" if winner is approved else "too late"


@case(
    "timers that pass while their instance is suspended fire in the order of their due times",
    completes("shorter"),
    Advance(timedelta(days=1)),
    Suspend(),
    *[Advance(timedelta(days=1))] * 14,
    Resume(),
)
@app.orchestration
def suspended_timers(ctx: ost.OrchestrationContext) -> Flow:
    longer = ctx.create_timer(timedelta(days=12))
    winner = yield ctx.task_any([longer, ctx.create_timer(timedelta(days=8))])
    return "longer" if winner is longer else "shorter"


@case(
    "what is held keeps its order, timers and events alike",
    completes(["timer", "event"]),
    Suspend(),
    Advance(120),
    RaiseEvent("n"),
    Resume(),
)
@case(
    "what is held keeps its order, events and timers alike",
    completes(["event", "timer"]),
    Suspend(),
    RaiseEvent("n"),
    Advance(120),
    Resume(),
)
@app.orchestration
def held_in_order(ctx: ost.OrchestrationContext) -> Flow:
    timer, event = ctx.create_timer(timedelta(minutes=1)), ctx.wait_for_external_event("n")
    winner = yield ctx.task_any([timer, event])
    order = ["timer", "event"] if winner is timer else ["event", "timer"]
    yield ctx.task_all([timer, event])
    return order


@case(
    "a result that arrives while its instance is suspended is held",
    completes("gate", ran=("gate",)),
    Now(Noted("gate")),
    Now(Suspend()),
    Now(Open("gate")),
    Check(SUSPENDED),
    Resume(),
)
@app.orchestration
def suspended_result(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(held, "gate"))


@case(
    "an instance suspended before it begins does not begin until it is resumed",
    completes(1, ran=("began",)),
    Now(Suspend()),
    Advance(7200),
    Check(stays(ost.RuntimeStatus.SUSPENDED, ran=())),
    Resume(),
    start_at=timedelta(hours=1),
)
@app.orchestration
def suspended_first(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(note, "began"))


# Terminate


@case(
    "nothing that a terminated instance would do at its end is done",
    terminated("enough", scheduled=(), ran={}),
    Terminate("enough"),
)
@app.orchestration
def cleans_up(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.wait_for_external_event("never")
    finally:
        yield ctx.call_activity(note, "cleaned")


# Rewind


@case(
    "a timer that was due before its instance was rewound fires, whoever failed",
    completes(["gate", "fired"]),
    Check(fails("RuntimeError", "gate is broken")),
    Advance(timedelta(hours=2)),
    Open("gate"),
    Rewind(),
)
@app.orchestration
def rewindable_over_a_timer(ctx: ost.OrchestrationContext) -> Flow:
    timer = ctx.create_timer(timedelta(hours=1))
    mended = yield ctx.call_sub_orchestrator(mends)
    yield timer
    return [mended, "fired"]


@app.orchestration
def mends(ctx: ost.OrchestrationContext) -> Flow:
    timer = ctx.create_timer(timedelta(hours=1))
    mended = yield ctx.call_activity(mendable, "gate")
    yield timer
    return mended


@case(
    "a rewound instance goes on, and only the failed work runs again",
    completes([1, "gate", 1], ran={"before": 1, "gate": 2, "after": 1}),
    Check(fails("RuntimeError", "gate is broken")),
    Open("gate"),
    Rewind("mended"),
)
@case(
    "an instance can be rewound more than once",
    completes([1, "gate", 1], ran={"before": 1, "gate": 4, "after": 1}),
    Rewind(),
    Rewind(),
    Open("gate"),
    Rewind(),
)
@app.orchestration
def rewindable(ctx: ost.OrchestrationContext) -> Flow:
    before = yield ctx.call_activity(note, "before")
    middle = yield ctx.call_activity(mendable, "gate")
    return [before, middle, (yield ctx.call_activity(note, "after"))]


@case(
    "of a fan-out only what failed runs again",
    completes([1, "gate-1", 1, "gate-2"], ran={"a": 1, "gate-1": 2, "b": 1, "gate-2": 2}),
    Open("gate-1"),
    Open("gate-2"),
    Rewind(),
)
@app.orchestration
def rewindable_fan_out(ctx: ost.OrchestrationContext) -> Flow:
    calls = [(note, "a"), (mendable, "gate-1"), (note, "b"), (mendable, "gate-2")]
    return (yield ctx.task_all([ctx.call_activity(activity, key) for activity, key in calls]))


@case(
    "a failed child is rewound with its parent, and only its failed work runs again",
    completes([1, [1, "gate"]], ran={"parent": 1, "child": 1, "gate": 2}),
    Check(fails("RuntimeError", "gate is broken")),
    Open("gate"),
    Rewind(),
)
@app.orchestration
def rewindable_parent(ctx: ost.OrchestrationContext) -> Flow:
    mine = yield ctx.call_activity(note, "parent")
    return [mine, (yield ctx.call_sub_orchestrator(rewindable_child))]


@app.orchestration
def rewindable_child(ctx: ost.OrchestrationContext) -> Flow:
    mine = yield ctx.call_activity(note, "child")
    return [mine, (yield ctx.call_activity(mendable, "gate"))]


@case(
    "failures that were handled stay handled",
    completes(["first is broken", "second"], ran={"first": 1, "second": 2}),
    Open("first"),
    Open("second"),
    Rewind(),
)
@app.orchestration
def handled_stays(ctx: ost.OrchestrationContext) -> Flow:
    handled = None
    try:
        yield ctx.call_activity(mendable, "first")
    except RuntimeError as error:
        assert isinstance(error, ost.TaskFailedError)
        handled = error.failure.message
    return [handled, (yield ctx.call_activity(mendable, "second"))]


@case(
    "of a retried activity only the last attempt is made again",
    completes("gate", ran={"gate": 4}),
    Advance(1),
    Advance(1),
    Check(fails("RuntimeError", "gate is broken")),
    Open("gate"),
    Rewind(),
)
@app.orchestration
def rewound_attempt(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(mendable, "gate", retry=ost.RetryPolicy(3, 1)))


@case(
    "timers and events of before still count after a rewind",
    completes(["gate", "kept", "fired"]),
    RaiseEvent("data", "kept"),
    RaiseEvent("go"),
    Check(fails("RuntimeError")),
    Open("gate"),
    Rewind(),
)
@app.orchestration
def rewound_waits(ctx: ost.OrchestrationContext) -> Flow:
    timer = ctx.create_timer(timedelta(hours=1))
    yield ctx.wait_for_external_event("go")
    mended = yield ctx.call_activity(mendable, "gate")
    data = yield ctx.wait_for_external_event("data")
    yield timer
    return [mended, data, "fired"]


@case(
    "what has completed cannot be rewound", completes(3), Refused(Rewind(), ost.NotRewindableError)
)
@app.orchestration
def completes_early(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(add_one, 2))


# Restart and purge


@case(
    "a finished instance restarts in its place, with its input",
    completes([2, "in"], ran={"in": 2}),
    Check(completes([1, "in"])),
    Restart(),
    input="in",
)
@case(
    "a finished instance restarts under a new id",
    completes([1, "in"], ran={"in": 2}, others={"{id}-again": completes([2, "in"])}),
    Restart("{id}-again"),
    input="in",
)
@app.orchestration
def restartable(ctx: ost.OrchestrationContext, key: str) -> Flow:
    return [(yield ctx.call_activity(note, key)), key]


@case("a restarted instance gets other uuids", completes(True), Restart())
@app.orchestration
def restarted_uuid(ctx: ost.OrchestrationContext) -> Flow:
    runs = yield ctx.call_activity(note, ctx.new_uuid())
    return runs == 1


@case(
    "a failed instance restarts from the beginning",
    completes(["gate", 2], ran={"before": 2, "gate": 2}),
    Open("gate"),
    Restart(),
)
@app.orchestration
def restarted_after_failure(ctx: ost.OrchestrationContext) -> Flow:
    before = yield ctx.call_activity(note, "before")
    return [(yield ctx.call_activity(mendable, "gate")), before]


@app.orchestration
def with_child(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_sub_orchestrator(greeting, None, f"{ctx.instance_id}-child"))


@case(
    "purging forgets an instance and its children",
    completes("hello"),
    Start("with_child"),
    Check(completes("hello"), of="{id}-other"),
    Purge(2, to="{id}-other"),
    Refused(Terminate(to="{id}-other"), ost.InstanceNotFoundError),
    Refused(Terminate(to="{id}-other-child"), ost.InstanceNotFoundError),
    Refused(Purge(0, to="{id}-other"), ost.InstanceNotFoundError),
)
@app.orchestration
def purges_another(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(greet))

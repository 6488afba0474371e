"""Replay: what repeats, and what happens when the code changes under an instance."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import ostinato as ost

from .app import add_one, app, case, echo, greet, note
from .model import (
    Advance,
    Check,
    Deploy,
    Flow,
    RaiseEvent,
    Refused,
    Rewind,
    Start,
    completes,
    fails,
    stays,
)

RUNNING = ost.RuntimeStatus.RUNNING


@case("uuids, random numbers and the clock are the same on every replay", completes(True))
@app.orchestration
def repeats(ctx: ost.OrchestrationContext) -> Flow:
    drawn: list[Any] = []
    for _ in range(3):
        items = list("abcdef")
        ctx.random.shuffle(items)
        drawn += [
            ctx.new_uuid(),
            str(ctx.new_guid()),
            ctx.random.random(),
            ctx.random.randint(1, 9),
        ]
        drawn += [items, ctx.current_utc_datetime.isoformat()]
        remembered = yield ctx.call_activity(echo, drawn)
        if remembered != drawn:
            return [remembered, drawn]
    return True


@case("uuids are uuids, and all different", completes([True, True, 20]))
@app.orchestration
def uuids(ctx: ost.OrchestrationContext) -> Flow:
    texts = [ctx.new_uuid() for _ in range(10)]
    guids = [ctx.new_guid() for _ in range(10)]
    yield from ()
    plain = all(str(UUID(text)) == text for text in texts)
    typed = all(isinstance(guid, UUID) for guid in guids)
    return [plain, typed, len({*texts, *map(str, guids)})]


@case("two instances draw different uuids and numbers", completes([True, True]))
@app.orchestration
def draws_differ(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_sub_orchestrator(draws)
    second = yield ctx.call_sub_orchestrator(draws)
    return [first[0] != second[0], first[1] != second[1]]


@app.orchestration
def draws(ctx: ost.OrchestrationContext) -> Flow:
    yield from ()
    return [ctx.new_uuid(), ctx.random.random()]


@case("an orchestrator is not replaying when it makes its last step", completes(False))
@app.orchestration
def not_replaying(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(greet)
    yield ctx.call_activity(greet)
    return ctx.is_replaying


# Names that the application does not have

complete_app = ost.App("complete")
lacking_app = ost.App("lacking")
for one in (complete_app, lacking_app):
    one.activity(add_one)
    one.activity(note)
complete_app.activity(greet)


def calls_missing(ctx: ost.OrchestrationContext) -> Flow:
    try:
        number = yield ctx.call_activity(add_one, 1)
        word = yield ctx.call_activity("greet")
    except Exception:
        return "caught"
    return [number, word]


def calls_missing_child(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(note, "before")
        return (yield ctx.call_sub_orchestrator("missing_child"))
    except Exception:
        return "caught"


def starts_missing(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(note, "before")
        ctx.start_orchestration("missing_child", None, f"{ctx.instance_id}-free")
        yield ctx.call_activity(note, "after")
    except Exception:
        return "caught"
    return "started"


def calls_beside_missing(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(note, "before")
    missing = ctx.call_activity("greet")
    beside = ctx.call_activity(note, "beside")
    return (yield ctx.task_all([missing, beside]))


def missing_child(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(note, "child")
    return "found"


for orchestrator in (calls_missing, calls_missing_child, starts_missing, calls_beside_missing):
    complete_app.orchestration(orchestrator)
    lacking_app.orchestration(orchestrator)
complete_app.orchestration(missing_child)

case.add(
    "an unknown activity fails the instance, uncatchably, and takes no id; rewound it goes on",
    calls_missing,
    completes([2, "hello"], scheduled=("0 add_one", "1 greet")),
    Check(fails("UnknownNameError", re.compile("greet"))),
    Deploy(complete_app),
    Rewind("registered"),
    app=lacking_app,
)
case.add(
    "an unknown child fails the instance, uncatchably; rewound it goes on",
    calls_missing_child,
    completes("found", ran=("before", "child"), scheduled=("0 note", "1 child missing_child")),
    Check(fails("UnknownNameError", re.compile("missing_child"))),
    Deploy(complete_app),
    Rewind(),
    app=lacking_app,
)
case.add(
    "an unknown detached orchestration fails the instance, uncatchably; rewound it goes on",
    starts_missing,
    completes(
        "started",
        ran={"before": 1, "after": 1, "child": 1},
        scheduled=("0 note", "1 start missing_child", "2 note"),
    ),
    Check(fails("UnknownNameError", re.compile("missing_child"))),
    Deploy(complete_app),
    Rewind(),
    app=lacking_app,
)
case.add(
    "what is asked for beside an unknown name is not recorded",
    calls_beside_missing,
    completes(["hello", 1], ran=("before", "beside"), scheduled=("0 note", "1 greet", "2 note")),
    Check(fails("UnknownNameError", re.compile("greet"), scheduled=("0 note",))),
    Deploy(complete_app),
    Rewind(),
    app=lacking_app,
)


# Code that changes under a running instance


def first_code(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_activity(add_one, 1)
    word = yield ctx.call_activity(greet)
    yield ctx.wait_for_external_event("go")
    return [first, word, (yield ctx.call_activity(add_one, 5))]


def renamed(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(add_one, 1)
        yield ctx.call_activity(note, "renamed")
    except Exception:
        return "caught"
    yield ctx.wait_for_external_event("go")


def removed(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(add_one, 1)
        yield ctx.wait_for_external_event("go")
    except Exception:
        return "caught"


def reordered(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(greet)
        yield ctx.call_activity(add_one, 1)
        yield ctx.wait_for_external_event("go")
    except Exception:
        return "caught"


def added(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(add_one, 1)
        yield ctx.call_activity(add_one, 2)
        yield ctx.call_activity(greet)
        yield ctx.wait_for_external_event("go")
    except Exception:
        return "caught"


def of_another_kind(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.create_timer(timedelta(seconds=1))
        yield ctx.call_activity(greet)
        yield ctx.wait_for_external_event("go")
    except Exception:
        return "caught"


def ends_early(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)
    return "early"


def other_inputs(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_activity(add_one, 100)
    word = yield ctx.call_activity("greet")
    yield ctx.wait_for_external_event("go")
    return [first, word, (yield ctx.call_activity(add_one, 50))]


def sleeping(hours: float) -> Callable[..., Any]:
    """Code that waits for some hours."""

    def sleeps(ctx: ost.OrchestrationContext) -> Flow:
        yield ctx.create_timer(timedelta(hours=hours))
        return (yield ctx.call_activity(add_one, 2))

    return sleeps


def deployed(orchestrator: Callable[..., Any], *versions: str | None) -> ost.App:
    """An application that has ``orchestrator`` under the name ``code``."""
    changed = ost.App("changed")
    for activity in (add_one, greet, note):
        changed.activity(activity)
    for version in versions or (None,):
        changed.orchestration(name="code", version=version)(orchestrator)
    return changed


FIRST = deployed(first_code)
DIFFERENT: dict[str, tuple[Callable[..., Any], str]] = {
    "was renamed": (renamed, r"(?s)(?=.*greet)(?=.*note)(?=.*cases_changes\.py)"),
    "was removed": (removed, r"greet"),
    "changed places": (reordered, r"(?s)(?=.*add_one)(?=.*greet)(?=.*cases_changes\.py)"),
    "was added": (added, r"(?s)(?=.*greet)(?=.*add_one)(?=.*cases_changes\.py)"),
    "became a timer": (of_another_kind, r"(?s)(?=.*add_one)(?=.*[Tt]imer)(?=.*cases_changes\.py)"),
    "is no longer reached": (ends_early, "greet"),
}


def code(ctx: ost.OrchestrationContext) -> Flow:
    """Stands for whatever is deployed under this name."""
    raise NotImplementedError
    yield


for what, (changed_code, message) in DIFFERENT.items():
    mismatch = fails("NonDeterminismError", re.compile(message))
    case.add(
        f"an activity that {what} under a running instance fails it, uncatchably",
        code,
        mismatch,
        Deploy(deployed(changed_code)),
        RaiseEvent("go"),
        app=FIRST,
    )
    case.add(
        f"an activity that {what} can be mended, and the instance rewound",
        code,
        completes([2, "hello", 6]),
        Deploy(deployed(changed_code)),
        RaiseEvent("go"),
        Check(mismatch),
        Deploy(FIRST),
        Rewind("mended"),
        app=FIRST,
    )


def forgets_its_yield(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)
    while True:
        try:
            ctx.call_activity(note, "never")
        except Exception:
            return "caught"


case.add(
    "a loop without a yield fails the instance, uncatchably; rewound after a mend it goes on",
    code,
    completes([2, "hello", 6], ran=()),
    Check(
        fails(
            "TooManyTasksError",
            re.compile(r"cases_changes\.py:\d+: is a yield missing"),
            scheduled=("0 add_one",),
        )
    ),
    Deploy(FIRST),
    Rewind("mended"),
    RaiseEvent("go"),
    app=deployed(forgets_its_yield),
)
case.add(
    "inputs that change are not compared: what history says counts",
    code,
    completes([2, "hello", 51]),
    Deploy(deployed(other_inputs)),
    RaiseEvent("go"),
    app=FIRST,
)
for what, before, after in (("longer", 1, 2), ("shorter", 2, 1)):
    case.add(
        f"a delay that becomes {what} under a running instance is not compared: history counts",
        code,
        completes(3),
        Deploy(deployed(sleeping(after))),
        Advance(3600 * before - 1),
        Check(stays(RUNNING)),
        Advance(1),
        Check(completes(3)),
        app=deployed(sleeping(before)),
    )
case.add(
    "an instance goes on where it was when the same code is deployed again",
    code,
    completes([2, "hello", 6]),
    Deploy(deployed(first_code)),
    RaiseEvent("go"),
    app=FIRST,
)


def fails_by_mistake(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_activity(add_one, 1)
    word = yield ctx.call_activity(greet)
    raise RuntimeError(f"a mistake after {first} {word}")


case.add(
    "an orchestrator's own mistake is mended and the instance rewound",
    code,
    completes([2, "hello", 6], scheduled=("0 add_one", "1 greet", "2 add_one")),
    Check(fails("RuntimeError", "a mistake after 2 hello")),
    Deploy(FIRST),
    Rewind("mended"),
    RaiseEvent("go"),
    app=deployed(fails_by_mistake),
)


# Versions


def version_1(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    return ["one", ctx.version]


def version_2(ctx: ost.OrchestrationContext) -> Flow:
    word = yield ctx.call_activity(greet)
    yield ctx.wait_for_external_event("go")
    return ["two", ctx.version, word]


def versioned(*versions: str) -> ost.App:
    """An application with these versions of ``code``, the last one registered last."""
    result = ost.App("versioned")
    result.activity(greet)
    for version in versions:
        orchestrator = {"1": version_1, "2": version_2}[version]
        result.orchestration(name="code", version=version)(orchestrator)
    result.orchestration(parent_of_code)
    result.orchestration(generations_of_code)
    return result


def parent_of_code(ctx: ost.OrchestrationContext, version: str | None) -> Flow:
    child = f"{ctx.instance_id}-child"
    return (yield ctx.call_sub_orchestrator("code", None, child, version))


def generations_of_code(ctx: ost.OrchestrationContext) -> Flow:
    yield from ()
    return ctx.version


ONE, BOTH, BACKWARDS, TWO = versioned("1"), versioned("1", "2"), versioned("2", "1"), versioned("2")
case.add(
    "a new instance has the version registered last",
    code,
    completes(["two", "2", "hello"]),
    RaiseEvent("go"),
    app=BOTH,
)
case.add(
    "the version registered last is the newest, whatever its name",
    code,
    completes(["one", "1"]),
    RaiseEvent("go"),
    app=BACKWARDS,
)
case.add(
    "a new instance has the version asked for",
    code,
    completes(["one", "1"]),
    RaiseEvent("go"),
    app=BOTH,
    version="1",
)
case.add(
    "an orchestration without versions has none", generations_of_code, completes(None), app=BOTH
)
case.add(
    "an unknown version is refused",
    code,
    completes(["one", "1"]),
    Refused(Start("code", version="3"), ost.UnknownNameError),
    RaiseEvent("go"),
    app=BOTH,
    version="1",
)
case.add(
    "an instance stays on the version it began with, new ones take the newest",
    code,
    completes(["one", "1"], others={"{id}-other": completes(["two", "2", "hello"])}),
    Deploy(BOTH),
    Start("code"),
    RaiseEvent("go"),
    RaiseEvent("go", to="{id}-other"),
    app=ONE,
)
case.add(
    "a version that is no longer registered fails the instance, rewindable",
    code,
    completes(["one", "1"]),
    Deploy(TWO),
    RaiseEvent("go"),
    Check(fails("UnknownNameError", re.compile("1"))),
    Deploy(BOTH),
    Rewind(),
    app=ONE,
)
case.add(
    "a child has the version registered last",
    parent_of_code,
    completes(["two", "2", "hello"]),
    RaiseEvent("go", to="{id}-child"),
    app=BOTH,
)
case.add(
    "a child has the version asked for",
    parent_of_code,
    completes(["one", "1"]),
    RaiseEvent("go", to="{id}-child"),
    app=BOTH,
    input="1",
)


def generation_1(ctx: ost.OrchestrationContext, seen: list[str] | None) -> Flow:
    yield ctx.wait_for_external_event("go")
    seen = [*(seen or []), f"one is {ctx.version}"]
    if len(seen) == 2:
        return seen
    ctx.continue_as_new(seen)


def generation_2(ctx: ost.OrchestrationContext, seen: list[str] | None) -> Flow:
    yield ctx.wait_for_external_event("go")
    return [*(seen or []), f"two is {ctx.version}"]


def eternal_versions(*versions: str) -> ost.App:
    result = ost.App("eternal")
    for version in versions:
        orchestrator = {"1": generation_1, "2": generation_2}[version]
        result.orchestration(name="code", version=version)(orchestrator)
    return result


case.add(
    "an instance that continues as new stays on its version",
    code,
    completes(["one is 1", "one is 1"]),
    Deploy(eternal_versions("1", "2")),
    RaiseEvent("go"),
    RaiseEvent("go"),
    app=eternal_versions("1"),
)


# Patches


def unpatched(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_activity(add_one, 1)
    yield ctx.wait_for_external_event("go")
    second = yield ctx.call_activity(add_one, first)
    yield ctx.wait_for_external_event("go")
    return [first, second]


def patched_early(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_activity(add_one, 10 if ctx.patched("early") else 1)
    yield ctx.wait_for_external_event("go")
    second = yield ctx.call_activity(add_one, first)
    yield ctx.wait_for_external_event("go")
    return [first, second, ctx.patched("early")]


def patched_late(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_activity(add_one, 1)
    yield ctx.wait_for_external_event("go")
    if ctx.patched("late"):
        yield ctx.call_activity(greet)
    second = yield ctx.call_activity(add_one, first)
    yield ctx.wait_for_external_event("go")
    return [first, second, ctx.patched("late")]


UNPATCHED, EARLY, LATE = deployed(unpatched), deployed(patched_early), deployed(patched_late)
case.add(
    "a patch holds for new instances, on every replay",
    code,
    completes([11, 12, True], scheduled=("0 add_one", "1 add_one")),
    RaiseEvent("go"),
    Deploy(EARLY),
    RaiseEvent("go"),
    app=EARLY,
)
case.add(
    "a patch does not hold where the instance has passed it",
    code,
    completes([2, 3, False], scheduled=("0 add_one", "1 add_one")),
    Deploy(EARLY),
    RaiseEvent("go"),
    RaiseEvent("go"),
    app=UNPATCHED,
)
case.add(
    "a patch holds where the instance has not come to it yet",
    code,
    completes([2, 3, True], scheduled=("0 add_one", "1 greet", "2 add_one")),
    Deploy(LATE),
    RaiseEvent("go"),
    RaiseEvent("go"),
    app=UNPATCHED,
)
case.add(
    "a patch that the instance passed later than it was made stays off",
    code,
    completes([2, 3, False], scheduled=("0 add_one", "1 add_one")),
    RaiseEvent("go"),
    Deploy(LATE),
    RaiseEvent("go"),
    app=UNPATCHED,
)
case.add(
    "an instance waits on through a deployment", code, stays(RUNNING), Deploy(LATE), app=UNPATCHED
)

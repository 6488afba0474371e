"""Custom status."""

from __future__ import annotations

import ostinato as ost

from .app import add_one, app, case, greet, refuse
from .model import Check, Flow, RaiseEvent, completes, fails, stays

RUNNING = ost.RuntimeStatus.RUNNING
LONGEST = 16_384 // 2 - 2
"""ASCII characters of a text whose JSON is exactly at the limit in UTF-16."""


@case(
    "the custom status is seen while the instance runs, and after",
    completes("done", custom_status={"step": 2}),
    Check(stays(RUNNING, custom_status={"step": 1})),
    RaiseEvent("go"),
)
@app.orchestration
def shows_status(ctx: ost.OrchestrationContext) -> Flow:
    ctx.set_custom_status({"step": 1})
    yield ctx.wait_for_external_event("go")
    ctx.set_custom_status({"step": 2})
    return "done"


@case(
    "the last custom status of a turn holds, and can be read back",
    completes("last", custom_status="last"),
)
@app.orchestration
def last_status(ctx: ost.OrchestrationContext) -> Flow:
    ctx.set_custom_status("first")
    ctx.set_custom_status("last")
    yield ctx.call_activity(greet)
    return ctx.custom_status


@case(
    "None clears the custom status",
    completes(None, custom_status=None),
    Check(stays(RUNNING, custom_status="busy")),
    RaiseEvent("go"),
)
@app.orchestration
def cleared_status(ctx: ost.OrchestrationContext) -> Flow:
    ctx.set_custom_status("busy")
    yield ctx.wait_for_external_event("go")
    ctx.set_custom_status(None)
    return ctx.custom_status


@case(
    "a failed instance keeps its custom status", fails("ValueError", "no", custom_status="step 1")
)
@app.orchestration
def failed_status(ctx: ost.OrchestrationContext) -> Flow:
    ctx.set_custom_status("step 1")
    yield ctx.call_activity(refuse, "no")


@case("a custom status is a copy", completes([1], custom_status=[1]))
@app.orchestration
def copied_status(ctx: ost.OrchestrationContext) -> Flow:
    steps = [1]
    ctx.set_custom_status(steps)
    steps.append(2)
    yield ctx.call_activity(add_one, 1)
    return ctx.custom_status


SIZES = {
    "of 16,384 bytes": ("x" * LONGEST, True),
    "of 16,386 bytes": ("x" * (LONGEST + 1), False),
    "of two bytes a character": ("é" * LONGEST, True),
    "of two bytes a character, one too many": ("é" * (LONGEST + 1), False),
    "of four bytes a character": ("\N{MUSICAL SYMBOL G CLEF}" * (LONGEST // 2), True),
    "of four bytes a character, one too many": (
        "\N{MUSICAL SYMBOL G CLEF}" * (LONGEST // 2 + 1),
        False,
    ),
}


@app.orchestration
def sized_status(ctx: ost.OrchestrationContext, which: str) -> Flow:
    ctx.set_custom_status("before")
    yield ctx.call_activity(greet)
    try:
        ctx.set_custom_status(SIZES[which][0])
    except ost.PayloadTooLargeError:
        return "refused"
    return "taken"


for which, (text, fits) in SIZES.items():
    if fits:
        case.add(
            f"a custom status {which} is taken",
            sized_status,
            completes("taken", custom_status=text),
            input=which,
        )
    else:
        expected = completes("refused", custom_status="before")
        case.add(
            f"a custom status {which} is refused at the call", sized_status, expected, input=which
        )


@case(
    "a custom status that cannot be JSON is refused at the call",
    completes(["CodecError", "CodecError"], custom_status="before"),
)
@app.orchestration
def unserialisable_status(ctx: ost.OrchestrationContext) -> Flow:
    ctx.set_custom_status("before")
    yield ctx.call_activity(greet)
    refused = []
    for status in (float("nan"), object()):
        try:
            ctx.set_custom_status(status)
        except ost.CodecError as error:
            refused.append(type(error).__name__)
    return refused

"""Retries: how often, how long between, for which failures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ostinato as ost
from ostinato.failures import Failure

from . import world
from .app import app, attempt, case, refuse
from .model import Flow, Within, completes, fails

THREE = ("0 attempt", "1 timer", "2 attempt", "3 timer", "4 attempt")


@case(
    "a failed attempt is made again after a durable delay",
    completes(3, scheduled=THREE, delays=(5.0, 5.0)),
)
@app.orchestration
def retried(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(attempt, 3, retry=ost.RetryPolicy(5, 5)))


@case(
    "when the attempts are used up the last failure is raised",
    completes(["attempt 3 of 9", 3], scheduled=THREE),
)
@app.orchestration
def exhausted(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(attempt, 9, retry=ost.RetryPolicy(3, 1))
    except ConnectionError as error:
        assert isinstance(error, ost.TaskFailedError)
        return [error.failure.message, error.failure.attempt]


@case("delays grow by the backoff", completes(5, delays=(1.0, 2.0, 4.0, 8.0)))
@app.orchestration
def backing_off(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(attempt, 5, retry=ost.RetryPolicy(5, 1, 2)))


@case("delays are capped", completes(5, delays=(1.0, 3.0, 5.0, 5.0)))
@app.orchestration
def capped(ctx: ost.OrchestrationContext) -> Flow:
    policy = ost.RetryPolicy(5, timedelta(seconds=1), 3, max_delay=timedelta(seconds=5))
    return (yield ctx.call_activity(attempt, 5, retry=policy))


@case(
    "jitter spreads the delays about their middle",
    completes(3, delays=(Within(50, 150), Within(50, 150))),
)
@app.orchestration
def jittered(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(attempt, 3, retry=ost.RetryPolicy(3, 100, jitter=0.5)))


@case("a jittered delay is the same on every replay", completes(True))
@app.orchestration
def jitter_repeats(ctx: ost.OrchestrationContext) -> Flow:
    began = ctx.current_utc_datetime
    yield ctx.call_activity(attempt, 2, retry=ost.RetryPolicy(2, 100, jitter=0.5))
    waited = (ctx.current_utc_datetime - began).total_seconds()
    remembered = yield ctx.call_activity("echo", waited)
    return waited == remembered and waited >= 50


@case(
    "no attempt is begun for a failure that arrives after the policy's timeout",
    fails("ConnectionError", "attempt 4 of 99", delays=(10.0, 10.0, 10.0)),
)
@app.orchestration
def out_of_time(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(attempt, 99, retry=ost.RetryPolicy(50, 10, timeout=25))


@app.activity(retry=ost.RetryPolicy(3, 2))
def attempt_by_policy(succeeds_at: int, context: ost.ActivityContext) -> int:
    return attempt(succeeds_at, context)


@case("an activity has the policy of its declaration", completes(3, delays=(2.0, 2.0)))
@app.orchestration
def declared_policy(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(attempt_by_policy, 3))


@case(
    "a declared policy holds for calls by name, and retry=None means it",
    completes(3, delays=(2.0, 2.0)),
)
@app.orchestration
def declared_policy_by_name(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity("attempt_by_policy", 3, retry=None))


@case("the call's policy goes before the declared one", fails("ConnectionError", "attempt 1 of 3"))
@app.orchestration
def overridden_policy(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(attempt_by_policy, 3, retry=ost.RetryPolicy(1))


def is_first(failure: Failure) -> bool:
    return failure.attempt == 1


RETRY_FILTERS: dict[str, tuple[dict[str, Any], int]] = {
    "retry_on its class": ({"retry_on": ConnectionError}, 3),
    "retry_on a base of its class": ({"retry_on": OSError}, 3),
    "retry_on its name": ({"retry_on": "ConnectionError"}, 3),
    "retry_on one of several": ({"retry_on": [KeyError, "ConnectionError"]}, 3),
    "retry_on another class": ({"retry_on": KeyError}, 1),
    "retry_on another name": ({"retry_on": "KeyError"}, 1),
    "retry_on a function of the failure": ({"retry_on": is_first}, 2),
    "give_up_on its class": ({"give_up_on": ConnectionError}, 1),
    "give_up_on a base of its class": ({"give_up_on": [OSError]}, 1),
    "give_up_on its name": ({"give_up_on": "ConnectionError"}, 1),
    "give_up_on another class": ({"give_up_on": KeyError}, 3),
    "give_up_on a function of the failure": ({"give_up_on": is_first}, 1),
    "give_up_on against retry_on": ({"retry_on": OSError, "give_up_on": ConnectionError}, 1),
}


@app.orchestration
def filtered(ctx: ost.OrchestrationContext, what: str) -> Flow:
    arguments, _ = RETRY_FILTERS[what]
    try:
        yield ctx.call_activity(attempt, 9, retry=ost.RetryPolicy(3, 1, **arguments))
    except ost.TaskFailedError as error:
        return error.failure.attempt


for what, (_, attempts) in RETRY_FILTERS.items():
    name = f"{what}: {attempts} of 3 attempts are made"
    case.add(name, filtered, completes(attempts), input=what)


@case(
    "a call with retry options of 1.x waits the same time before each attempt",
    completes(3, delays=(5.0, 5.0)),
)
@app.orchestration
def with_retry_options(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity_with_retry("attempt", ost.RetryOptions(5000, 3), 3))


@case("retried activities are awaited together", completes([2, 3, 1], delays=(1.0, 1.0, 1.0)))
@app.orchestration
def retried_together(ctx: ost.OrchestrationContext) -> Flow:
    policy = ost.RetryPolicy(3, 1)
    tasks = [ctx.call_activity(attempt, number, retry=policy) for number in (2, 3, 1)]
    return (yield ctx.task_all(tasks))


@case(
    "a fan-out that fails for good still makes the attempts of the others",
    completes(["no", [2, None, 3]], ran={"tried": 1}),
)
@app.orchestration
def fails_among_retries(ctx: ost.OrchestrationContext) -> Flow:
    policy = ost.RetryPolicy(3, 1)
    slow = [ctx.call_activity(attempt, number, retry=policy) for number in (2, 3)]
    failing = ctx.call_activity(refuse_noted, "no")
    try:
        yield ctx.task_all([slow[0], failing, slow[1]])
    except ValueError as error:
        assert isinstance(error, ost.TaskFailedError)
        return [error.failure.message, [slow[0].result, None, slow[1].result]]


@app.activity
def refuse_noted(message: str) -> None:
    world.note("tried")
    refuse(message)

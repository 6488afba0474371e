"""Activities as Azure functions: the one activity runner that all hosts share, behind a trigger."""

from __future__ import annotations

import os
from typing import Any, assert_never

import msgspec

from ostinato import codec
from ostinato.activities import (
    ActivityCall,
    ActivityCompleted,
    ActivityCrashed,
    ActivityFailed,
    Outcome,
    run_activity,
    run_activity_async,
)
from ostinato.definitions import ActivityDefinition
from ostinato_azure import envelope
from ostinato_azure.failures import failure_text, summary


class ActivityFailedError(Exception):
    """The way in which an activity function tells that the activity failed, with everything."""


def perform(definition: ActivityDefinition, given: Any, limit: int) -> Any:
    """Run a sync activity on its trigger's value and return a value for its binding.

    Args:
        definition: The activity.
        given: What the SDK decoded: our text where an orchestration of ours asked, else any
            value, from whoever called the activity by its name.
        limit: Bytes of the result's JSON.

    Raises:
        ActivityFailedError: The attempt raised or timed out.
    """
    call = _call(definition, given)
    return _returned(run_activity(definition, call, limit=limit), call)


async def perform_async(definition: ActivityDefinition, given: Any, limit: int) -> Any:
    """Run an async activity; as `perform`."""
    call = _call(definition, given)
    return _returned(await run_activity_async(definition, call, limit=limit), call)


def _call(definition: ActivityDefinition, given: Any) -> ActivityCall:
    payload = envelope.plain("null")
    if isinstance(given, str) and given.startswith("{"):
        payload = envelope.read_exact(given)
    if payload.call is None:
        return ActivityCall(
            instance_id="",
            execution_id=os.urandom(16).hex(),  # so that no two calls have one idempotency key
            task_id=0,
            first_id=0,
            name=definition.name,
            input=codec.encode(given, definition.input_label),
        )
    call = payload.call
    return ActivityCall(
        instance_id=call.instance_id,
        execution_id=call.execution_id,
        task_id=call.task_id,
        first_id=call.first_id,
        attempt=call.attempt,
        name=definition.name,
        input=payload.text,
        timeout=call.timeout,
    )


def _returned(outcome: Outcome, call: ActivityCall) -> Any:
    """The result as the SDK writes it again; JSON's own values alone come through unchanged.

    Of a failure, orchestrations of others are told what people are: they cannot read the rest.
    """
    match outcome:
        case ActivityCompleted(result):
            return msgspec.json.decode(envelope.written(envelope.plain(result)))
        case ActivityFailed(failure):
            is_ours = bool(call.instance_id)
            raise ActivityFailedError(failure_text(failure) if is_ours else summary(failure))
        case ActivityCrashed(reason):
            raise ActivityFailedError(reason)
        case _:
            assert_never(outcome)

"""One run of an activity, from the message that asks for it to the message that answers."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ostinato.testing.azure.decisions import ScheduleTask
from ostinato.testing.azure.dotnet import json_text
from ostinato.testing.azure.event_json import failure_from
from ostinato.testing.azure.events import FailureDetails, TaskCompleted, TaskFailed
from ostinato.testing.azure.http_activity import make_request
from ostinato.testing.azure.ports import FunctionFailed, Functions
from ostinato.testing.azure.shim import HTTP_ACTIVITY


class NoSuchActivity(Exception):
    """The app has no activity of the name that was scheduled."""


def run(task: ScheduleTask, functions: Functions) -> str | None:
    """Run an activity; returns its result, JSON text.

    Raises:
        FunctionFailed: It raised.
        NoSuchActivity: There is no such function.
    """
    if task.name == HTTP_ACTIVITY:
        return make_request(task.input or "null")
    if not functions.has_activity(task.name):
        raise NoSuchActivity(
            f"The function '{task.name}' doesn't exist, is disabled, or is not an activity"
            " function."
        )
    return functions.run_activity(task.name, "null" if task.input is None else task.input)


def completed(task: ScheduleTask, result: str | None, now: datetime) -> TaskCompleted:
    """The message that an activity is done."""
    return TaskCompleted(timestamp=now, task_id=task.id, result=result)


def failed(task: ScheduleTask, failure: FunctionFailed, now: datetime, *, grpc: bool) -> TaskFailed:
    """The message that an activity failed.

    To a classic app the failure is a text: what the worker says up to its stack, with the space
    before it. ``Details`` is the JSON of a .NET exception, here in outline. To an app on protobuf
    the text is parted at its first colon.
    """
    text = failure.text.partition("\nStack:")[0]
    return TaskFailed(
        timestamp=now,
        task_id=task.id,
        reason=f"Activity function '{task.name}' failed:  {text}",
        details=_exception_json(text, failure),
        failure=_parted(text, failure) if grpc else _structured(text),
    )


def missing(task: ScheduleTask, now: datetime, error: NoSuchActivity, *, grpc: bool) -> TaskFailed:
    """The message that there is no such activity: on protobuf it says nothing of it."""
    return TaskFailed(
        timestamp=now,
        task_id=task.id,
        reason=None if grpc else f"Activity function '{task.name}' failed: {error}",
    )


def _parted(text: str, failure: FunctionFailed) -> FailureDetails:
    kind, colon, message = text.partition(": ")
    return FailureDetails(
        error_type=kind if colon else "(unknown)",
        error_message=message if colon else text,
        stack_trace=failure.stack or "none",
    )


def _structured(text: str) -> FailureDetails | None:
    """A text that is itself the JSON of failure details is taken as such."""
    if not text.startswith("{"):
        return None
    try:
        fields: Any = json.loads(text)
    except ValueError:
        return None
    names = {str(name).lower() for name in fields}
    return failure_from(fields) if {"errortype", "errormessage"} <= names else None


def _exception_json(text: str, failure: FunctionFailed) -> str:
    whole = f"Result: Failure\nException: {failure.text}\nStack: {failure.stack or 'none'}"
    return json_text(
        {
            "$type": "System.Exception, System.Private.CoreLib",
            "ClassName": "System.Exception",
            "Message": f" {text}",
            "Data": None,
            "InnerException": {
                "$type": "Microsoft.Azure.WebJobs.Script.Workers.Rpc.RpcException",
                "Message": whole,
                "Data": None,
                "InnerException": None,
                "HelpLink": None,
                "Source": "System.Private.CoreLib",
                "HResult": -2146233088,
                "StackTrace": None,
            },
            "HelpURL": None,
            "StackTraceString": None,
            "RemoteStackTraceString": None,
            "RemoteStackIndex": 0,
            "ExceptionMethod": None,
            "HResult": -2146233088,
            "Source": None,
            "WatsonBuckets": None,
        }
    )

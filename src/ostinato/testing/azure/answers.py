"""The answer of an orchestration function of a classic app.

It is the text that the function returns, or what follows ``$OutOfProcData$`` in the text of the
exception that it fails with (``OutOfProcOrchestrationShim`` and ``RpcException`` handling of the
extension; the texts are as recorded from 3.15).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from ostinato.testing.azure.event_json import failure_from
from ostinato.testing.azure.events import FailureDetails
from ostinato.testing.azure.ports import FunctionFailed

OUT_OF_PROC_DATA = "\n\n$OutOfProcData$:"

Action: TypeAlias = Mapping[str, Any]
"""One entry of the list, as it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call gave.

    Attributes:
        actions: A list for each yield with schema 1, else one list.
        one_by_one: Whether the actions are awaited one after another (schema 2 and later).
        raised: Whether the function failed.
        error: The text with which the orchestration fails; None when it does not.
    """

    actions: Sequence[Sequence[Action]]
    one_by_one: bool
    done: bool
    output: Any
    raised: bool
    error: str | None
    failure: FailureDetails | None
    custom_status: Any


class BadAnswer(Exception):
    """The extension can make nothing of an answer; the text says why."""


def answer_of(text: str) -> Answer:
    """Read what a function returned.

    Raises:
        BadAnswer: It is not the JSON of an object.
    """
    return _answer(text, raised=False)


def answer_of_failure(failed: FunctionFailed) -> Answer:
    """Read what a function failed with.

    Raises:
        BadAnswer: It holds no answer.
    """
    # The text is cut at its first line that begins with "Stack:", wherever that came from.
    whole = f"Result: Failure\nException: {failed.text}\nStack: {failed.stack or 'none'}"
    message = whole[: whole.index("\nStack:")]
    _, marker, data = message.partition(OUT_OF_PROC_DATA)
    if not marker:
        raise BadAnswer(f"One or more errors occurred. ({whole})")
    return _answer(data, raised=True)


def _answer(text: str, *, raised: bool) -> Answer:
    try:
        loaded: Any = json.loads(text)
    except ValueError:
        raise BadAnswer("Out of proc orchestrators must return a valid JSON schema") from None
    if not isinstance(loaded, dict):
        raise BadAnswer(
            "The data returned by the out-of-process function execution was not valid json."
        )
    fields = cast(Mapping[str, Any], loaded)
    schema = fields.get("schemaVersion") or 0
    return Answer(
        actions=fields.get("actions") or [[]],
        one_by_one=schema != 0,
        done=fields.get("isDone") is True,
        output=fields.get("output"),
        raised=raised,
        error=fields.get("error"),
        failure=failure_from(fields.get("failureDetails")) if schema == 3 else None,
        custom_status=fields.get("customStatus"),
    )

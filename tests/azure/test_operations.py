"""Operations as text: what the orchestration writes, the reserved activity reads."""

from __future__ import annotations

import json

import msgspec
import pytest

from ostinato_azure.operations import (
    CheckId,
    Operation,
    Send,
    StartDetached,
    TerminateTree,
    operation_text,
    read_operation,
)

EACH: list[Operation] = [
    Send(instance_id="i", name="e", data='{"$ostinato":1}', event_id="x:1"),
    StartDetached(instance_id="i", name="o", input='"text"'),
    TerminateTree(instance_id="i", reason='a "reason"\nof two lines'),
    CheckId(instance_id="ü"),
]


@pytest.mark.parametrize("operation", EACH)
def test_an_operation_is_read_as_it_was_written(operation: Operation) -> None:
    assert read_operation(operation_text(operation)) == operation


@pytest.mark.parametrize("operation", EACH)
def test_an_operation_is_an_object_that_names_itself(operation: Operation) -> None:
    assert json.loads(operation_text(operation))["type"] == type(operation).__name__


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", '{"type":"Purge","instance_id":"i"}', '{"type":"CheckId"}'],
)
def test_what_is_no_operation_is_refused(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_operation(text)

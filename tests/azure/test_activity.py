"""Activities as functions: asked for by ours and by others, and what comes back."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import ostinato as ost
from ostinato.definitions import ActivityDefinition
from ostinato_azure import envelope
from ostinato_azure.activity import ActivityFailedError, perform, perform_async
from ostinato_azure.failures import failure_from_details

LIMIT = 1000


@dataclass
class Order:
    item: str
    count: int = 1


class SoldOut(Exception):
    """There is no more."""


def defined(fn: Any, **settings: Any) -> ActivityDefinition:
    """What the application declares of a function."""
    app = ost.App("activities")
    app.activity(name="act", **settings)(fn)
    found = app.registry.activity("act")
    assert found is not None
    return found


def asked(data: str, *, task_id: int = 4, attempt: int = 1, timeout: float | None = None) -> str:
    """What an orchestration of ours sends, as the SDK decodes it: text."""
    call = envelope.Call(
        instance_id="inst",
        execution_id="exec",
        task_id=task_id,
        first_id=2,
        attempt=attempt,
        timeout=timeout,
    )
    return envelope.written(msgspec.structs.replace(envelope.plain(data), call=call))


def test_an_activity_is_given_its_input_by_its_annotation_and_the_attempt_it_is() -> None:
    def act(order: Order, activity: ost.ActivityContext) -> list[Any]:
        return [
            order.item,
            activity.instance_id,
            activity.execution_id,
            activity.task_id,
            activity.attempt,
        ]

    assert perform(defined(act), asked('{"item":"tea"}', attempt=3), LIMIT) == [
        "tea",
        "inst",
        "exec",
        4,
        3,
    ]


def test_all_attempts_of_a_call_have_one_idempotency_key() -> None:
    def act(activity: ost.ActivityContext) -> str:
        return activity.idempotency_key

    first, second = asked("null", task_id=2), asked("null", task_id=4, attempt=2)
    assert perform(defined(act), first, LIMIT) == perform(defined(act), second, LIMIT)


@pytest.mark.parametrize("value", [None, True, 2, 2.5, "text", '{"no": "data"', [1], {"a": None}])
def test_others_give_an_activity_any_value(value: Any) -> None:
    assert perform(defined(lambda given: given), value, LIMIT) == value


def test_what_others_give_is_read_by_the_annotation() -> None:
    def act(order: Order) -> str:
        return f"{order.count} {order.item}"

    assert perform(defined(act), {"item": "tea", "count": 2}, LIMIT) == "2 tea"


def test_two_calls_by_others_never_have_one_idempotency_key() -> None:
    def act(activity: ost.ActivityContext) -> str:
        return activity.idempotency_key

    assert len({perform(defined(act), None, LIMIT) for _ in range(3)}) == 3


def test_text_that_looks_like_ours_but_carries_no_call_is_data() -> None:
    text = '{"$ostinato":1,"data":5}'
    assert perform(defined(lambda given: given), text, LIMIT) == text


CLASSY = {"__class__": "Order", "__module__": "tests", "__data__": {"item": "tea"}}


def test_data_with_the_keys_of_the_sdks_own_objects_stays_data() -> None:
    written = msgspec.json.encode(CLASSY).decode()
    assert perform(defined(lambda given: given), asked(written), LIMIT) == CLASSY


def test_a_result_with_the_envelopes_key_comes_back_in_an_envelope() -> None:
    mine = {"$ostinato": 1, "data": "mine"}
    result = perform(defined(lambda: mine), asked("null"), LIMIT)
    text = envelope.read_exact(msgspec.json.encode(result).decode()).text
    assert msgspec.json.decode(text) == mine


def refuse(item: str) -> None:
    raise SoldOut(f"no {item}\nStack: gone")


def test_a_failure_is_one_line_that_holds_all_of_it() -> None:
    with pytest.raises(ActivityFailedError) as caught:
        perform(defined(refuse), asked('"tea"', attempt=2), LIMIT)
    told = str(caught.value)
    assert "\n" not in told and told.startswith("SoldOut: no tea Stack: gone $ostinato{")
    failure = failure_from_details(None, f"Activity function 'act' failed:  {told}", "k")
    assert (failure.type, failure.message) == ("SoldOut", "no tea\nStack: gone")
    assert (failure.task, failure.attempt) == ("act", 2)
    assert "raise SoldOut" in failure.traceback


def test_others_are_told_of_a_failure_what_people_are() -> None:
    with pytest.raises(ActivityFailedError, match=r"^SoldOut: no tea Stack: gone$"):
        perform(defined(refuse), "tea", LIMIT)


def test_input_that_does_not_fit_fails_the_attempt_and_says_where() -> None:
    def act(order: Order) -> None: ...

    with pytest.raises(ActivityFailedError, match="CodecError: input of activity 'act'"):
        perform(defined(act), asked('{"count":"many"}'), LIMIT)


def test_a_result_over_the_limit_fails_the_attempt() -> None:
    with pytest.raises(ActivityFailedError, match="PayloadTooLargeError"):
        perform(defined(lambda: "x" * LIMIT), asked("null"), LIMIT)


def test_an_attempt_that_runs_out_of_the_calls_time_fails() -> None:
    done = threading.Event()
    try:
        with pytest.raises(ActivityFailedError, match="Timeout"):
            perform(defined(lambda: done.wait(10)), asked("null", timeout=0.01), LIMIT)
    finally:
        done.set()


def test_an_async_activity_is_asked_and_answers_alike() -> None:
    async def act(order: Order) -> Order:
        return Order(order.item, order.count + 1)

    result = asyncio.run(perform_async(defined(act), asked('{"item":"tea"}'), LIMIT))
    assert result == {"item": "tea", "count": 2}


def test_an_async_activity_fails_alike() -> None:
    async def act(item: str) -> None:
        raise SoldOut(item)

    with pytest.raises(ActivityFailedError, match=r"^SoldOut: tea \$ostinato\{"):
        asyncio.run(perform_async(defined(act), asked('"tea"'), LIMIT))

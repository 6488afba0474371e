"""Tables kept between turns: the answer is the one of a whole replay, whatever history comes."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

import ostinato as ost
from ostinato_azure.classic import respond
from ostinato_azure.live import LiveTables
from ostinato_azure.table import Surroundings

app = ost.App("live")
began: list[str] = []
"""Instances in whose orchestrator the first line ran, once for each replay."""


@app.activity
def work(number: int) -> int:
    return number


@app.orchestration
def count(ctx: ost.OrchestrationContext, upto: int) -> Generator[Any, Any, list[Any]]:
    """Call an activity and wait for an event, so many times."""
    began.append(ctx.instance_id)
    seen: list[Any] = []
    for number in range(upto):
        seen.append((yield ctx.call_activity(work, number)))
        seen.append((yield ctx.wait_for_external_event("e")))
    return seen


@app.orchestration
def careful(ctx: ost.OrchestrationContext) -> Generator[Any, Any, Any]:
    """Take the new way where history has no other."""
    if ctx.patched("new way"):
        return (yield ctx.wait_for_external_event("new"))
    return (yield ctx.wait_for_external_event("old"))


around = Surroundings(
    registry=app.registry, has_activity=lambda name: False, has_orchestration=lambda name: False
)


class Instance:
    """An execution's history as the extension writes it, and the answers it gets."""

    def __init__(self, name: str, given: Any = None, *, live: LiveTables | None = None) -> None:
        self.id, self.execution = "i", "e"
        self.live = LiveTables() if live is None else live
        self.history: list[dict[str, Any]] = []
        self._turns = 0
        self._scheduled = 0
        start = {"Name": name, "Input": json.dumps(given)}
        self.arrived(0, **start, OrchestrationInstance={"InstanceId": "i", "ExecutionId": "e"})

    def arrived(self, kind: int, **fields: Any) -> None:
        """Begin a turn with a message."""
        self._turns += 1
        self._add(12)
        self._add(kind, **fields)

    def completed(self, task_id: int, result: Any) -> None:
        """Begin a turn with an activity's result."""
        self.arrived(5, TaskScheduledId=task_id, Result=json.dumps(result))

    def raised(self, name: str, data: Any = None) -> None:
        """Begin a turn with an external event."""
        self.arrived(15, Name=name, Input=json.dumps(data))

    def _add(self, kind: int, **fields: Any) -> None:
        stamp = f"2030-01-01T00:00:{self._turns:02}.0000000Z"
        base = {"EventType": kind, "EventId": -1, "IsPlayed": False, "Timestamp": stamp}
        self.history.append({**base, **fields})

    def answer(self) -> dict[str, Any]:
        """Send the history; the answer is the one of a worker that keeps nothing."""
        request = json.dumps({"history": self.history, "instanceId": self.id})
        answer: dict[str, Any] = json.loads(respond(request, around, self.live))
        runs = len(began)
        assert answer == json.loads(respond(request, around))
        del began[runs:]
        return answer

    def record(self, answer: dict[str, Any]) -> None:
        """End the turn: write down the activities and timers that an answer adds."""
        (actions,) = answer["actions"]
        asked = [a for group in actions for a in group["compoundActions"] if a["actionType"] < 12]
        for number in range(self._scheduled, len(asked)):
            if asked[number]["actionType"] == 5:
                self._add(10, EventId=number, FireAt=asked[number]["fireAt"])
            else:
                self._add(4, EventId=number, Name=asked[number]["functionName"])
        self._scheduled = len(asked)
        self._add(13)
        for event in self.history:
            event["IsPlayed"] = True


@pytest.fixture(autouse=True)
def _forget() -> None:
    began.clear()


def test_an_orchestrator_that_is_kept_is_not_run_from_the_top_again() -> None:
    instance = Instance("count", 2)
    instance.record(instance.answer())
    answer: dict[str, Any] = {}
    for number in range(2):
        instance.completed(number, number)
        instance.record(instance.answer())
        instance.raised("e", "x")
        answer = instance.answer()
        instance.record(answer)
    assert answer["isDone"] and answer["output"] == [0, "x", 1, "x"]
    assert began == ["i"]


def test_turns_that_another_worker_took_are_caught_up_with() -> None:
    instance = Instance("count", 2)
    instance.record(instance.answer())
    elsewhere, instance.live = instance.live, LiveTables()
    instance.completed(0, 0)
    instance.record(instance.answer())
    instance.raised("e", "x")
    instance.record(instance.answer())
    instance.live = elsewhere
    instance.completed(1, 1)
    instance.record(instance.answer())
    instance.raised("e", "y")
    assert instance.answer()["output"] == [0, "x", 1, "y"]
    assert began == ["i", "i"]


def test_a_turn_whose_answer_was_lost_is_taken_again_from_the_top() -> None:
    instance = Instance("count", 1)
    lost = instance.answer()
    assert instance.answer() == lost
    assert began == ["i", "i"]


def test_a_turn_that_is_taken_again_with_more_messages_is_replayed() -> None:
    instance = Instance("count", 1)
    instance.record(instance.answer())
    instance.completed(0, 0)
    instance.answer()  # lost
    instance._add(15, Name="e", Input='"x"')
    assert instance.answer()["output"] == [0, "x"]
    assert began == ["i", "i"]


def test_a_turn_that_another_worker_took_with_another_message_is_replayed() -> None:
    instance = Instance("count", 1)
    instance.record(instance.answer())
    instance.raised("e", "lost")
    instance.answer()
    del instance.history[-2:]
    here, instance.live = instance.live, LiveTables()
    instance.raised("e", "x")
    instance.record(instance.answer())
    instance.live = here
    instance.completed(0, 0)
    assert instance.answer()["output"] == [0, "x"]


def test_another_execution_of_the_instance_is_replayed() -> None:
    live = LiveTables()
    first = Instance("count", 1, live=live)
    first.record(first.answer())
    second = Instance("count", 1, live=live)
    second.history[1]["OrchestrationInstance"]["ExecutionId"] = "another"
    second.record(second.answer())
    second.completed(0, 0)
    second.record(second.answer())
    assert began == ["i", "i"]
    first.completed(0, 0)
    first.record(first.answer())
    assert began == ["i", "i", "i"]


def test_a_marker_that_was_answered_but_not_recorded_is_decided_anew() -> None:
    instance = Instance("careful")
    marked = instance.answer()
    assert [a["actionType"] for a in marked["actions"][0][0]["compoundActions"]] == [5, 12]
    instance._add(13)  # an older deployment took the turn, and marked nothing
    instance.raised("old", 1)
    assert instance.answer()["output"] == 1


def test_a_history_that_a_rewind_rewrote_is_replayed() -> None:
    instance = Instance("count", 1)
    instance.record(instance.answer())
    instance.arrived(17, EventId=1)
    instance.answer()
    assert began == ["i", "i"]


def test_what_has_ended_is_not_kept() -> None:
    instance = Instance("count", 0)
    assert instance.answer()["isDone"]
    assert instance.live.take("i") is None


ROOM_FOR_TWO = 30_000
"""Bytes, by estimate, that two instances of `count` take and three do not."""


def test_what_was_used_longest_ago_gives_way() -> None:
    live = LiveTables(most_bytes=ROOM_FOR_TWO)
    for name in ("a", "b", "c"):
        instance = Instance("count", 1, live=live)
        instance.id = name
        instance.answer()
    assert [name for name in ("a", "b", "c") if live.take(name) is not None] == ["b", "c"]


@pytest.mark.parametrize("name", ["count", "careful"])
def test_with_no_room_nothing_is_kept_not_even_what_waits_for_events_alone(name: str) -> None:
    instance = Instance(name, 1, live=LiveTables(most_bytes=0))
    instance.answer()
    assert instance.live.take("i") is None


def test_what_an_instance_was_given_counts_as_much_as_it_may_take_once_it_is_decoded() -> None:
    live = LiveTables(most_bytes=1_000_000)
    Instance("careful", "x" * 100_000, live=live).answer()
    assert live.take("i") is None


def test_what_would_take_all_the_room_leaves_it_to_the_others() -> None:
    live = LiveTables(most_bytes=ROOM_FOR_TWO)
    Instance("count", 1, live=live).answer()
    large = Instance("careful", "x" * 100_000, live=live)
    large.id = "large"
    large.answer()
    assert live.take("large") is None
    assert live.take("i") is not None


def test_two_turns_of_one_instance_at_once_leave_one_table_and_its_room() -> None:
    live = LiveTables(most_bytes=ROOM_FOR_TWO)
    for _ in range(10):
        instance = Instance("count", 1)
        instance.answer()
        kept = instance.live.take("i")
        assert kept is not None
        live.keep("i", kept)
    assert live.take("i") is not None
    other = Instance("count", 1, live=live)
    other.answer()
    assert live.take("i") is not None

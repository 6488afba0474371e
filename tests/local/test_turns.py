from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import count

import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.client import RuntimeStatus
from ostinato.events import Event, Parent
from ostinato.local.cycle import pending
from ostinato.local.store import PURGE_TIMER, Change, Message, WorkKey
from ostinato.local.turns import GENERATIONS_PER_TURN, Live, Turn
from ostinato.testing.store_contract import NOW, SECOND

app = ost.App("turns")


@app.activity
def work(given: int) -> int:
    return given


@app.orchestration
def calls(ctx: ost.OrchestrationContext):
    first = yield ctx.call_activity(work, 1)
    second = yield ctx.call_activity(work, 2)
    return [first, second]


@app.orchestration(purge_after=60)
def races(ctx: ost.OrchestrationContext):
    timer = ctx.create_timer(timedelta(hours=1))
    event = ctx.wait_for_external_event("go")
    yield ctx.task_any([timer, event])
    timer.cancel()
    return event.result


@app.orchestration
def gathers(ctx: ost.OrchestrationContext):
    first = yield ctx.wait_for_external_event("go")
    second = yield ctx.wait_for_external_event("go")
    return [first, second]


@app.orchestration
def loops(ctx: ost.OrchestrationContext, left: int):
    if left:
        ctx.continue_as_new(left - 1)
        return None
    return (yield ctx.wait_for_external_event("go"))


class Instance:
    """An instance that takes turns; keeps what they would write."""

    def __init__(self, name: str, given: str = "null", *, parent: Parent | None = None) -> None:
        self._ids = count(2)
        start = ev.ExecutionStarted(
            at=NOW, instance_id="a", execution_id="e1", name=name, input=given, parent=parent
        )
        self.live = Live(pending(start), None)
        self.now = NOW
        self.first = self.turn([message(start)], new=True)

    def turn(self, messages: Sequence[Message], *, new: bool = False) -> Change | None:
        turn = self.last = Turn(
            self.live, now=self.now, registry=app.registry, new_id=lambda: f"e{next(self._ids)}"
        )
        if new:
            turn.creates(replaces=False)
            turn.prepare()
        for one in messages:
            turn.take(one)
        turn.conclude()
        return turn.change()

    def tell(self, *events: Event, execution_id: str | None = None) -> Change | None:
        return self.turn([message(event, execution_id) for event in events])


def message(event: Event, execution_id: str | None = None, id: int = 0) -> Message:
    return Message(instance_id="a", event=event, execution_id=execution_id, id=id)


def go(data: str = "1", event_id: str | None = None) -> ev.EventRaised:
    return ev.EventRaised(at=NOW, name="go", data=data, event_id=event_id)


def completed(task_id: int) -> ev.TaskCompleted:
    return ev.TaskCompleted(at=NOW, task_id=task_id, result="5")


def kinds(change: Change | None) -> list[str]:
    assert change is not None
    return [type(event).__name__ for event in change.events]


def test_a_first_turn_writes_the_start_and_what_it_asks_for():
    change = Instance("calls").first
    assert kinds(change) == ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled"]
    assert change is not None
    assert change.expected_length is None
    assert change.instance.length == 3
    assert change.instance.status is RuntimeStatus.RUNNING
    assert [item.key for item in change.work_added] == [WorkKey("a", "e1", 0)]


def test_a_completion_is_recorded_and_its_work_removed():
    change = Instance("calls").tell(completed(0), execution_id="e1")
    assert kinds(change) == ["OrchestratorStarted", "TaskCompleted", "TaskScheduled"]
    assert change is not None
    assert change.expected_length == 3
    assert change.instance.length == 6
    assert change.work_removed == [WorkKey("a", "e1", 0)]


@pytest.mark.parametrize(
    ("task_id", "execution_id"), [(0, "e0"), (1, "e1"), (99, "e1")], ids=["stale", "early", "odd"]
)
def test_a_completion_that_nobody_waits_for_is_dropped(task_id: int, execution_id: str):
    change = Instance("calls").tell(completed(task_id), execution_id=execution_id)
    assert change is not None
    assert change.events == []
    assert change.work_removed == [WorkKey("a", execution_id, task_id)]


def test_a_completion_that_comes_twice_is_recorded_once():
    instance = Instance("calls")
    change = instance.tell(completed(0), completed(0), execution_id="e1")
    assert kinds(change) == ["OrchestratorStarted", "TaskCompleted", "TaskScheduled"]
    assert instance.tell(completed(0), execution_id="e1") is not None
    assert instance.live.head.length == 6


def test_a_turn_that_changes_nothing_writes_nothing():
    assert Instance("calls").turn([]) is None


def test_a_stored_message_that_is_dropped_is_taken_all_the_same():
    instance = Instance("calls")
    change = instance.turn([message(completed(9), "e0", id=7)])
    assert change is not None
    assert change.messages_taken == [7]


def test_an_event_id_counts_once():
    instance = Instance("gathers")
    instance.tell(go("1", "x"), go("2", "x"))
    instance.tell(go("3", "x"))
    change = instance.tell(go("4", "y"))
    assert change is not None
    last = change.events[-1]
    assert isinstance(last, ev.ExecutionCompleted)
    assert last.result == "[1,4]"


def test_an_end_drops_the_timers_and_sets_that_of_forgetting():
    instance = Instance("races")
    assert instance.first is not None
    assert instance.first.timers_added == [(0, NOW + 3600 * SECOND)]
    change = instance.tell(go())
    assert change is not None
    assert change.timers_cleared
    assert change.timers_added == [(PURGE_TIMER, NOW + 60 * SECOND)]
    assert instance.last.ended


def test_a_timer_that_fires_is_removed_and_sets_the_clock():
    instance = Instance("races")
    due = NOW + 3600 * SECOND
    change = instance.tell(ev.TimerFired(at=due, task_id=0, due=due), execution_id="e1")
    assert kinds(change) == ["OrchestratorStarted", "TimerFired", "ExecutionCompleted"]


def test_an_end_is_told_to_the_parent():
    instance = Instance("races", parent=Parent("boss", "b1", 4))
    change = instance.tell(go("7"))
    assert change is not None
    (sent,) = change.messages_sent
    assert (sent.instance_id, sent.execution_id) == ("boss", "b1")
    assert sent.event == ev.SubOrchestrationInstanceCompleted(at=NOW, task_id=4, result="7")


def test_a_termination_is_told_to_the_parent_as_a_failure():
    instance = Instance("races", parent=Parent("boss", "b1", 4))
    change = instance.tell(ev.ExecutionTerminated(at=NOW, reason="enough"))
    assert change is not None
    (sent,) = change.messages_sent
    assert isinstance(sent.event, ev.SubOrchestrationInstanceFailed)
    assert sent.event.failure.type == "SubOrchestrationError"
    assert sent.event.failure.message == "enough"
    assert instance.last.cancelled


def test_a_message_of_another_parent_is_dropped():
    instance = Instance("races", parent=Parent("boss", "b1", 4))
    end = ev.ExecutionTerminated(at=NOW, reason="parent ended")
    stranger = Message(instance_id="a", event=end, parent=Parent("boss", "b2", 4))
    assert instance.turn([stranger]) is None


def test_what_comes_while_suspended_is_recorded_and_applied_later():
    instance = Instance("gathers")
    instance.tell(ev.ExecutionSuspended(at=NOW))
    assert instance.live.head.status is RuntimeStatus.SUSPENDED
    assert instance.tell(ev.ExecutionSuspended(at=NOW)) is None
    assert kinds(instance.tell(go("1"), go("2"))) == ["OrchestratorStarted"] + 2 * ["EventRaised"]
    change = instance.tell(ev.ExecutionResumed(at=NOW))
    assert kinds(change)[-1] == "ExecutionCompleted"


def test_generations_go_on_within_a_turn_but_not_for_ever():
    few = Instance("loops", str(GENERATIONS_PER_TURN - 2))
    assert few.first is not None
    assert few.first.messages_sent == []
    assert few.live.head.execution_id == f"e{GENERATIONS_PER_TURN - 1}"
    assert few.live.head.length == 2
    many = Instance("loops", "100")
    assert many.first is not None
    assert many.first.fresh
    assert many.first.events == []
    (sent,) = many.first.messages_sent
    assert isinstance(sent.event, ev.ExecutionStarted)
    assert sent.event.execution_id == many.live.head.execution_id
    assert many.last.closed[0] == "e1"


def test_events_of_the_turn_that_continues_as_new_reach_the_next_generation():
    instance = Instance("loops", "1")
    change = instance.tell(go("9"))
    assert change is not None
    last = change.events[-1]
    assert isinstance(last, ev.ExecutionCompleted)
    assert last.result == "9"


def test_a_start_that_comes_twice_counts_once():
    instance = Instance("calls")
    start = ev.ExecutionStarted(at=NOW, instance_id="a", execution_id="e1", name="calls")
    change = instance.turn([message(start, id=3)])
    assert change is not None
    assert (change.events, change.messages_taken) == ([], [3])


def test_an_instance_that_is_given_up_fails_in_place_of_what_its_turn_asked_for():
    instance = Instance("calls")
    turn = Turn(instance.live, now=NOW, registry=app.registry, new_id=lambda: "e2")
    turn.take(message(completed(0), "e1"))
    turn.conclude()
    turn.give_up(ValueError("a defect"))
    change = turn.change()
    assert kinds(change) == ["OrchestratorStarted", "TaskCompleted", "ExecutionCompleted"]
    assert change is not None
    assert change.work_added == []
    assert change.instance.length == 6
    assert change.instance.status is RuntimeStatus.FAILED


@app.orchestration
def renews(ctx: ost.OrchestrationContext):
    yield ctx.wait_for_external_event("go")
    ctx.continue_as_new(None)


def test_a_termination_counts_for_the_generation_that_begins_in_its_turn():
    instance = Instance("renews")
    change = instance.tell(go(), ev.ExecutionTerminated(at=NOW, reason="enough"))
    assert change is not None
    assert change.fresh
    assert instance.live.head.execution_id == "e2"
    assert instance.live.head.status is RuntimeStatus.TERMINATED
    assert instance.last.ended


def test_an_instance_that_its_parent_ends_reports_to_nobody():
    parent = Parent("boss", "b1", 4)
    instance = Instance("races", parent=parent)
    end = ev.ExecutionTerminated(at=NOW, reason="its parent has ended")
    change = instance.turn([Message(instance_id="a", event=end, parent=parent)])
    assert change is not None
    assert change.instance.status is RuntimeStatus.TERMINATED
    assert change.messages_sent == []

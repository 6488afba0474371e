"""The table: what the host is asked for, and under which ids, when history is read turn by turn."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.actions import Completed, ContinuedAsNew, Failed, Outcome, Terminated
from ostinato.events import Event
from ostinato.failures import unstructured
from ostinato_azure import envelope
from ostinato_azure.entries import Entry, Kind
from ostinato_azure.markers import is_marker, marker_due, version_due
from ostinato_azure.names import CLIENT, GATE
from ostinato_azure.operations import CheckId, Operation, Send, TerminateTree, read_operation
from ostinato_azure.table import TRIES, Surroundings, Table

START = datetime(2030, 1, 1, tzinfo=UTC)
Flow = Generator[Any, Any, Any]

app = ost.App("table")
app.foreign_activity("theirs")


@app.activity
def work(number: int) -> int:
    return number


@app.orchestration
def child(ctx: ost.OrchestrationContext) -> Flow:
    """Wait."""
    return (yield ctx.wait_for_external_event("e"))


class Host:
    """Records what a table asks for, and has each turn taken by a new one."""

    def __init__(self, name: str, given: str = "null") -> None:
        self.history: list[Event] = []
        self.now = START
        self.waiting: list[Entry] = []
        self._next_id = 0
        self._started = ev.ExecutionStarted(
            at=START, instance_id="i", execution_id="e", name=name, input=given
        )

    def begin(self) -> list[Entry]:
        """Take the first turn."""
        return self.turn(self._started)

    def turn(self, *messages: Event) -> list[Entry]:
        """Take a turn and record what it asks for; return that."""
        self.history += [ev.OrchestratorStarted(at=self.now), *messages]
        self.table = Table(
            Surroundings(
                registry=app.registry,
                has_activity=lambda name: name == "theirs",
                has_orchestration=lambda name: False,
            )
        )
        self.table.run(self.history)
        asked = self.table.take_unrecorded()
        assert self.table.next_host_id == self._next_id
        for entry in asked:
            self.record(entry)
        return asked

    def record(self, entry: Entry) -> None:
        """Write down that something was asked for."""
        host_id = self._next_id
        self._next_id += 1
        match entry.kind:
            case Kind.ACTIVITY | Kind.CLIENT | Kind.GATE:
                name = {Kind.CLIENT: CLIENT, Kind.GATE: GATE}.get(entry.kind, entry.name)
                self.history.append(ev.TaskScheduled(at=self.now, task_id=host_id, name=name))
            case Kind.TIMER | Kind.MARKER:
                assert entry.due is not None
                due = entry.due if entry.kind is Kind.MARKER else self.table.fires_at(entry.due)
                self.history.append(ev.TimerCreated(at=self.now, task_id=host_id, due=due))
            case Kind.CHILD:
                self.history.append(
                    ev.SubOrchestrationInstanceCreated(
                        at=self.now,
                        task_id=host_id,
                        name=entry.name,
                        instance_id=entry.instance_id,
                    )
                )

    def done(self, host_id: int, result: str = "null") -> Event:
        """An activity's result."""
        return ev.TaskCompleted(at=self.now, task_id=host_id, result=result)

    def failed(self, host_id: int, message: str = "broken") -> Event:
        """An activity's failure."""
        failure = unstructured("ActivityError", message)
        return ev.TaskFailed(at=self.now, task_id=host_id, failure=failure)

    def raised(self, name: str, data: str = "null") -> Event:
        """An external event."""
        return ev.EventRaised(at=self.now, name=name, data=data)

    def fired(self, host_id: int) -> Event:
        """The end of a timer, at the time it is due."""
        due = next(
            e.due for e in self.history if isinstance(e, ev.TimerCreated) and e.task_id == host_id
        )
        self.now = due
        return ev.TimerFired(at=due, task_id=host_id, due=due)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended."""
        return self.table.outcome


def operation(entry: Entry) -> Operation:
    assert entry.kind is Kind.CLIENT
    return read_operation(entry.text)


@app.orchestration
def bounded(ctx: ost.OrchestrationContext, count: int) -> Flow:
    """Map over numbers, two at a time."""
    return (yield ctx.map(work, list(range(count)), max_concurrency=2))


def test_items_of_a_bounded_map_are_asked_for_as_places_become_free_in_order_of_id() -> None:
    host = Host("bounded", "4")
    assert [e.core_id for e in host.begin()] == [0, 1]
    assert [e.core_id for e in host.turn(host.done(1, "1"))] == [2]
    assert [e.core_id for e in host.turn(host.done(0, "0"), host.done(2, "2"))] == [3]
    host.turn(host.done(3, "3"))
    assert host.outcome == Completed("[0,1,2,3]")


@app.orchestration
def patient(ctx: ost.OrchestrationContext) -> Flow:
    """Wait for thirty days."""
    yield ctx.create_timer(timedelta(days=30))
    return "late"


def test_a_long_timer_goes_in_hops_until_it_is_near() -> None:
    host = Host("patient")
    entries, hops = host.begin(), 0
    while host.outcome is None:
        (timer,) = entries
        assert timer.due == START + timedelta(days=30)
        entries = host.turn(host.fired(hops))
        hops += 1
    assert host.outcome == Completed('"late"')
    assert host.now == START + timedelta(days=30)
    assert hops == 9  # eight hops of three days, and the six that are left


@app.orchestration
def marked(ctx: ost.OrchestrationContext) -> Flow:
    """Take the new way where the history has it."""
    return (yield ctx.call_activity(work, 2 if ctx.patched("new way") else 1))


def test_a_marker_goes_before_what_the_turn_asks_for_and_is_heeded_on_replay() -> None:
    host = Host("marked")
    marker, activity = host.begin()
    assert marker.due == marker_due("patch:new way")
    assert '"data":2' in activity.text
    host.turn(host.fired(0))
    host.turn(host.done(1, "2"))
    assert host.outcome == Completed("2")


def test_what_a_history_without_the_marker_did_is_done_again() -> None:
    host = Host("marked")
    host.begin()
    host.history = [e for e in host.history if not isinstance(e, ev.TimerCreated)]
    host.history[-1] = ev.TaskScheduled(at=START, task_id=0, name="work")
    host._next_id = 1
    host.turn(host.done(0, "1"))
    assert host.outcome == Completed("1")


@app.orchestration
def named_child(ctx: ost.OrchestrationContext, instance_id: str) -> Flow:
    """Call a child by an id of its own."""
    return (yield ctx.call_sub_orchestrator(child, None, instance_id))


@pytest.mark.parametrize("answer", ["free", "taken"])
def test_an_explicit_child_id_is_asked_about_first(answer: str) -> None:
    host = Host("named_child", '"mine"')
    (check,) = host.begin()
    assert operation(check) == CheckId("mine")
    entries = host.turn(host.done(0, f'"{answer}"'))
    if answer == "free":
        assert [(e.kind, e.instance_id) for e in entries] == [(Kind.CHILD, "mine")]
    else:
        assert isinstance(host.outcome, Failed)
        assert host.outcome.failure.type == "InstanceExistsError"


@app.orchestration
def sends(ctx: ost.OrchestrationContext) -> Flow:
    """Send three events, two of them to one target."""
    for target in ("a", "a", "b"):
        ctx.send_event(target, "e", target)
    return (yield ctx.wait_for_external_event("end"))


def test_operations_on_one_target_go_one_after_another() -> None:
    host = Host("sends")
    assert [operation(e) for e in host.begin()] == [
        Send("a", "e", '"a"', "e:0"),
        Send("b", "e", '"b"', "e:2"),
    ]
    assert [operation(e) for e in host.turn(host.done(1))] == []
    assert [operation(e) for e in host.turn(host.done(0))] == [Send("a", "e", '"a"', "e:1")]


def test_an_operation_that_fails_is_asked_for_again_a_number_of_times(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host("sends")
    host.begin()
    tries, entries, host_id = 1, host.turn(host.failed(0)), 1
    while entries and operation(entries[0]) == Send("a", "e", '"a"', "e:0", tries=tries):
        tries += 1
        host_id += 1
        entries = host.turn(host.failed(host_id))
    assert tries == TRIES
    assert [operation(e) for e in entries] == [Send("a", "e", '"a"', "e:1")]
    host.turn(host.raised("other"))  # in which the past is replayed
    (given_up,) = [record.getMessage() for record in caplog.records]
    assert f"instance i gave up Send for a after {TRIES} tries: " in given_up


@app.orchestration
def names_a_child(ctx: ost.OrchestrationContext) -> Flow:
    """Ask for a child under an id."""
    return (yield ctx.call_sub_orchestrator(child, None, "mine"))


def test_a_child_of_which_nobody_can_tell_whether_its_id_is_free_fails_with_the_reason() -> None:
    host = Host("names_a_child")
    host.begin()
    for host_id in range(TRIES):
        host.turn(host.failed(host_id))
    assert isinstance(host.outcome, Failed)
    assert host.outcome.failure.type == "SubOrchestrationError"
    assert f"could not be told in {TRIES} tries" in host.outcome.failure.message


@app.orchestration
def sends_after_a_child(ctx: ost.OrchestrationContext) -> Flow:
    """Ask for a child, send an event to the one that has its id, and end."""
    ctx.call_sub_orchestrator(child, None, "mine")
    ctx.send_event("mine", "e", 1)
    if ctx.get_input() == "waits":
        yield ctx.wait_for_external_event("end")
    return "done"


def test_an_event_to_the_id_of_a_child_that_is_not_asked_for_any_more_is_sent() -> None:
    host = Host("sends_after_a_child")
    assert [operation(e) for e in host.begin()] == [Send("mine", "e", "1", "e:1")]
    assert host.table.is_draining


def test_an_event_behind_a_question_that_was_asked_is_sent_after_the_end() -> None:
    host = Host("sends_after_a_child", '"waits"')
    assert [operation(e) for e in host.begin()] == [CheckId("mine")]
    host.turn(host.raised("end"))
    assert host.table.is_draining
    assert [operation(e) for e in host.turn(host.done(0, '"free"'))] == [
        Send("mine", "e", "1", "e:1")
    ]


@app.orchestration
def leaves_a_child(ctx: ost.OrchestrationContext) -> Flow:
    """End while a child runs."""
    ctx.call_sub_orchestrator(child)
    return (yield ctx.wait_for_external_event("end"))


def test_open_children_of_an_ended_instance_are_terminated_by_the_client() -> None:
    host = Host("leaves_a_child")
    host.begin()
    entries = host.turn(host.raised("end"))
    assert [operation(e) for e in entries] == [TerminateTree("e:0", "parent ended")]
    assert host.table.is_draining
    host.turn(host.done(1))
    assert not host.table.is_draining


@app.orchestration
def calls_theirs(ctx: ost.OrchestrationContext) -> Flow:
    """Call a function of someone else's."""
    return (yield ctx.call_activity("theirs", {"a": 1}))


def test_a_function_of_someone_elses_is_given_plain_data() -> None:
    (entry,) = Host("calls_theirs").begin()
    assert entry.foreign and entry.given == '{"a":1}'


def test_ours_is_given_which_attempt_it_is() -> None:
    (_, entry) = Host("marked").begin()
    call = envelope.read_exact(entry.text).call
    assert call == envelope.Call("i", "e", task_id=0, first_id=0, attempt=1)


def test_a_result_that_comes_twice_counts_once() -> None:
    host = Host("bounded", "3")
    host.begin()
    host.turn(host.done(0, "0"))
    assert host.turn(host.done(0, "9")) == []
    host.turn(host.done(1, "1"))
    host.turn(host.done(2, "2"))
    assert host.outcome == Completed("[0,1,2]")


def test_a_host_event_that_the_code_does_not_repeat_fails_the_instance_with_both_named() -> None:
    host = Host("calls_theirs")
    host.begin()
    host.history[-1] = ev.TaskScheduled(at=START, task_id=0, name="work")
    host.turn(host.done(0))
    assert isinstance(host.outcome, Failed)
    failure = host.outcome.failure
    assert failure.type == "NonDeterminismError"
    assert "'work'" in failure.message and "'theirs'" in failure.message


@app.orchestration
def again(ctx: ost.OrchestrationContext, number: int) -> Flow:
    """Continue as new after one event."""
    ctx.set_custom_status("busy")
    yield ctx.wait_for_external_event("e")
    ctx.continue_as_new(number + 1)


def test_the_next_generation_is_given_events_ids_status_and_tags() -> None:
    given = envelope.written(
        envelope.Envelope(
            ostinato=envelope.VERSION, data=envelope.plain("1").data, tags={"team": "blue"}
        )
    )
    host = Host("again", given)
    host.begin()
    first, second = (f'{{"$ostinato":1,"data":{n},"event_id":"{n}"}}' for n in (1, 2))
    host.turn(host.raised("e", first), host.raised("e", second))
    assert isinstance(host.outcome, ContinuedAsNew)
    carried = envelope.read(host.table.continuation(host.outcome))
    assert carried.text == "2" and carried.tags == {"team": "blue"}
    assert [(e.name, e.event_id) for e in carried.events] == [("e", "2")]
    assert carried.event_ids == ("1", "2") and bytes(carried.status) == b'"busy"'


def test_an_instance_that_starts_later_waits_by_a_timer_and_keeps_what_comes_meanwhile() -> None:
    later = START + timedelta(hours=1)
    written = envelope.Envelope(
        ostinato=envelope.VERSION, data=envelope.plain("1").data, start_at=later
    )
    host = Host("again", envelope.written(written))
    (timer,) = host.begin()
    assert timer.due == later and not is_marker(later)
    assert host.turn(host.raised("e")) == []
    host.turn(host.fired(0))
    assert isinstance(host.outcome, ContinuedAsNew) and host.outcome.input == "2"


def test_a_rewind_sets_the_timers_anew_that_the_end_cancelled() -> None:
    host = Host("patient")
    (timer,) = host.begin()
    entries = host.turn(ev.ExecutionRewound(at=host.now))
    assert [(e.kind, e.due) for e in entries] == [(Kind.TIMER, timer.due)]
    assert [e.replaced for e in host.table.known] == [True]


def test_a_failure_of_the_hosts_own_is_told_with_the_name_and_the_attempt() -> None:
    host = Host("retried")
    host.begin()
    host.turn(host.failed(0))
    host.turn(host.fired(1))
    host.turn(host.failed(2, "killed"))
    assert host.outcome == Completed('["ActivityError","work",2,"killed"]')


@app.orchestration
def retried(ctx: ost.OrchestrationContext) -> Flow:
    """Try twice, and tell of the last failure."""
    try:
        yield ctx.call_activity(work, 1, retry=ost.RetryPolicy(2, 1))
    except ost.TaskFailedError as error:
        failure = error.failure
        return [failure.type, failure.task, failure.attempt, failure.message]


@app.orchestration
def two_of_one_id(ctx: ost.OrchestrationContext) -> Flow:
    """Ask for two children under one id."""
    children = [ctx.call_sub_orchestrator(child, None, "mine") for _ in range(2)]
    return (yield ctx.task_all(children))


def test_a_child_id_is_not_asked_about_while_a_child_of_our_own_has_it() -> None:
    host = Host("two_of_one_id")
    assert [operation(e) for e in host.begin()] == [CheckId("mine")]
    entries = host.turn(host.done(0, '"free"'))
    assert [(e.kind, e.core_id) for e in entries] == [(Kind.CHILD, 0)]


@app.orchestration
def sends_then_works(ctx: ost.OrchestrationContext) -> Flow:
    """Send an event, then call an activity."""
    ctx.send_event("a", "e")
    return (yield ctx.call_activity(work, 1))


def rewinds(host: Host) -> bool:
    assert isinstance(host.outcome, Failed)
    return host.table.rewinds


def test_an_instance_rewinds_when_what_failed_is_what_ended_it() -> None:
    host = Host("sends_then_works")
    host.begin()
    host.turn(host.done(0), host.failed(1))
    assert rewinds(host)


def test_an_instance_does_not_rewind_when_an_operation_of_the_adapters_failed() -> None:
    host = Host("sends_then_works")
    host.begin()
    host.turn(host.failed(0))
    host.turn(host.done(2), host.failed(1))
    assert not rewinds(host)


def test_an_instance_does_not_rewind_when_a_child_was_refused() -> None:
    host = Host("named_child", '"mine"')
    host.begin()
    host.turn(host.done(0, '"taken"'))
    assert not rewinds(host)


@app.orchestration
def fails_beside(ctx: ost.OrchestrationContext) -> Flow:
    """Fail while another activity runs."""
    ctx.call_activity(work, 2)
    return (yield ctx.call_activity(work, 1))


def test_what_fails_after_the_end_does_not_change_whether_an_instance_rewinds() -> None:
    host = Host("fails_beside")
    host.begin()
    host.turn(host.failed(1))
    assert rewinds(host)
    host.turn(host.failed(0))
    assert rewinds(host)


def test_a_timer_of_the_distant_past_is_no_marker() -> None:
    host = Host("sleeps_until", '"1975-01-01T00:00:00Z"')
    (timer,) = host.begin()
    assert timer.due is not None and not is_marker(timer.due)
    host.turn(host.fired(0))
    assert host.outcome == Completed('"awake"')


@app.orchestration
def sleeps_until(ctx: ost.OrchestrationContext, due: datetime) -> Flow:
    """Wait."""
    yield ctx.create_timer(due)
    return "awake"


@pytest.mark.parametrize("recorded", [timedelta(hours=1), timedelta(days=8)])
def test_a_timer_fires_when_history_says_whatever_the_code_says_now(recorded: timedelta) -> None:
    host = Host("patient")
    host.begin()
    host.history[-1] = ev.TimerCreated(at=START, task_id=0, due=START + recorded)
    host.turn(host.fired(0))
    assert host.outcome == Completed('"late"')


def test_a_start_that_is_put_off_is_terminated_before_the_orchestrator_runs() -> None:
    written = envelope.Envelope(ostinato=envelope.VERSION, start_at=START + timedelta(hours=1))
    host = Host("marked", envelope.written(written))
    host.begin()
    host.turn(ev.ExecutionTerminated(at=START, reason="enough", cascade=False))
    assert host.outcome == Terminated("enough")
    assert host.turn(host.fired(0)) == []


def test_a_start_that_is_put_off_waits_while_the_instance_is_suspended() -> None:
    written = envelope.Envelope(ostinato=envelope.VERSION, start_at=START + timedelta(hours=1))
    host = Host("marked", envelope.written(written))
    host.begin()
    host.turn(ev.ExecutionSuspended(at=START, reason=""))
    assert host.turn(host.fired(0)) == []
    assert len(host.turn(ev.ExecutionResumed(at=host.now, reason=""))) == 2


def test_a_version_that_is_registered_no_more_is_not_replaced_by_another() -> None:
    host = Host("sleeps_until", '"2030-01-01T00:00:00Z"')
    host.begin()
    marker = ev.TimerCreated(at=START, task_id=1, due=version_due("0.9"))
    host.history.append(marker)
    host._next_id = 2
    host.turn(host.fired(0))
    assert isinstance(host.outcome, Failed)
    assert host.outcome.failure.type == "UnknownNameError"


@app.orchestration
def gated(ctx: ost.OrchestrationContext) -> Flow:
    """Take the new way after an event, where the history has it."""
    yield ctx.wait_for_external_event("e")
    return (yield ctx.call_activity("theirs" if ctx.patched("new way") else "work", 1))


def test_what_was_asked_for_behind_a_gate_that_has_opened_since_is_of_the_past() -> None:
    host = Host("gated")
    host.begin()
    host.history.append(ev.TaskScheduled(at=START, task_id=0, name=GATE))
    host.history += [ev.OrchestratorStarted(at=START), host.raised("e")]  # nothing is recorded
    host.history += [ev.OrchestratorStarted(at=START), host.done(0)]
    host.history.append(ev.TaskScheduled(at=START, task_id=1, name="work"))
    host._next_id = 2
    host.turn(host.done(1, "1"))
    assert host.outcome == Completed("1")

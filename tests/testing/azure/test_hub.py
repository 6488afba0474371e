"""The task hub under an app that is written out here, on a clock that is moved by hand."""

from __future__ import annotations

import json
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest

from ostinato.testing import ManualClock
from ostinato.testing.azure import events as e
from ostinato.testing.azure.deployments import Undeployed
from ostinato.testing.azure.dotnet import time_text
from ostinato.testing.azure.hub import TaskHub
from ostinato.testing.azure.hub_errors import (
    InstanceInUse,
    InstanceOver,
    InstanceUnknown,
    WrongState,
)
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.ports import FunctionFailed
from ostinato.testing.azure.status import Status

TASK_COMPLETED, TASK_FAILED = 5, 6
CHILD_COMPLETED, CHILD_FAILED, TIMER_FIRED, RAISED = 8, 9, 11, 15


class App:
    """Orchestrations that look at their history, on the classic protocol."""

    grpc = False

    def __init__(self):
        self.gate = threading.Event()
        self.ran: list[str] = []
        self.turns: list[str] = []

    def has_orchestration(self, name):
        return hasattr(self, f"orch_{name}")

    def has_activity(self, name):
        return name in {"act", "slow", "steady"}

    def has_entity(self, name):
        return name == "counter"

    def orchestrate(self, name, request):
        asked = json.loads(request)
        self.turns.append(asked["instanceId"])
        answer = getattr(self, f"orch_{name}")(asked, asked["history"])
        return json.dumps(answer)

    def run_activity(self, name, input):
        self.ran.append(input)
        if name == "slow":
            assert self.gate.wait(30)
        if name == "steady":
            self.gate.wait(0.02)  # never set: a hub that takes a turn for each answer has time to
        if input == '"bad"':
            raise FunctionFailed("ValueError: bad thing", "trace")
        return json.dumps({"got": json.loads(input)})

    def run_entity(self, name, request):
        batch = json.loads(request)
        state = json.loads(batch["state"]) if batch["exists"] else 0
        results = []
        for operation in batch["batch"]:
            state += json.loads(operation["input"])
            results.append({"isError": False, "duration": 0, "result": json.dumps(state)})
        told = {"entityExists": True, "entityState": json.dumps(state), "results": results}
        return json.dumps({**told, "signals": []})

    # The orchestrations.

    def orch_quick(self, asked, history):
        return done([], asked["input"])

    def orch_acts(self, asked, history):
        """One activity, with the input; gives what came of it."""
        call = {"actionType": 0, "functionName": "act", "input": json.dumps(asked["input"])}
        return after(history, [call], {TASK_COMPLETED: "Result", TASK_FAILED: "Reason"})

    def orch_many(self, asked, history):
        """As many activities at once as the input says; gives how many are done."""
        call = {"actionType": 0, "functionName": "steady", "input": "1"}
        group = {"actionType": 12, "compoundActions": [call] * asked["input"]}
        results = sum(seen["EventType"] == TASK_COMPLETED for seen in history)
        return done([group], results) if results == asked["input"] else going_on([group])

    def orch_slow(self, asked, history):
        call = {"actionType": 0, "functionName": "slow", "input": "1"}
        return after(history, [call], {TASK_COMPLETED: "Result"})

    def orch_waits(self, asked, history):
        return after(history, [event("go")], {RAISED: "Input"})

    def orch_sleeps(self, asked, history):
        """A timer, as many seconds after the start as the input says."""
        begun = ManualClock().now() + timedelta(seconds=asked["input"])
        timer = {"actionType": 5, "fireAt": time_text(begun), "isCanceled": False}
        return after(history, [timer], {TIMER_FIRED: "FireAt"})

    def orch_parent(self, asked, history):
        """A child, named by the input."""
        child = {"actionType": 2, "functionName": asked["input"], "instanceId": "kid", "input": 7}
        return after(history, [child], {CHILD_COMPLETED: "Result", CHILD_FAILED: "Reason"})

    def orch_fails(self, asked, history) -> dict[str, Any]:
        said = json.dumps({**going_on([]), "error": "no luck"})
        raise FunctionFailed(f"no luck\n\n$OutOfProcData$:{said}")

    def orch_raises(self, asked, history):
        """As a function does whose SDK makes no answer of it."""
        raise FunctionFailed("ValueError: one\n\ttwo \x1b[2J" + "y" * 1000, "trace")

    def orch_counts(self, asked, history):
        """Continues as new at each event, up to the third."""
        if not any(seen["EventType"] == RAISED for seen in history):
            return going_on([event("go")])
        if asked["input"] == 3:
            return done([event("go")], asked["input"])
        return done([event("go"), {"actionType": 4, "input": asked["input"] + 1}], None)

    def orch_twice(self, asked, history):
        """An activity, and an event before the next."""
        call = {"actionType": 0, "functionName": "act", "input": "1"}
        results = [seen for seen in history if seen["EventType"] == TASK_COMPLETED]
        told = [seen for seen in history if seen["EventType"] == RAISED]
        if not results:
            return going_on([call])
        if not told:
            return going_on([call, event("go")])
        return done([call, event("go")], len(results))


def event(name):
    return {"actionType": 6, "externalEventName": name, "reason": "ExternalEvent"}


def going_on(actions):
    return {"isDone": False, "schemaVersion": 2, "actions": [actions]}


def done(actions, output):
    return {"isDone": True, "schemaVersion": 2, "actions": [actions], "output": output}


def after(history, actions, kinds):
    """Done once history has an event of one of the kinds, with what that says."""
    for seen in history:
        if seen["EventType"] in kinds:
            return done(actions, seen[kinds[seen["EventType"]]])
    return going_on(actions)


@pytest.fixture
def app():
    app = App()
    yield app
    app.gate.set()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def hub(app, clock):
    with TaskHub(app, clock=clock) as hub:
        yield hub
        app.gate.set()


def kinds(state):
    return [type(event).__name__ for event in state.history]


def test_an_instance_runs_from_its_start_to_its_output(hub):
    id = hub.start("quick", '{"a": 1}', tags={"of": "me"}, version="2")
    state = hub.wait(id)
    assert (state.status, json.loads(state.output)) == (Status.Completed, {"a": 1})
    assert (state.name, state.input, state.tags, state.version) == (
        "quick",
        '{"a": 1}',
        {"of": "me"},
        "2",
    )
    assert kinds(state) == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "ExecutionCompleted",
        "OrchestratorCompleted",
    ]


def test_an_orchestration_that_is_not_there_fails_the_instance_and_not_the_start(hub):
    state = hub.wait(hub.start("nosuch"))
    assert state.status is Status.Failed
    assert "'nosuch' doesn't exist" in state.output


def test_an_instance_that_did_not_end_well_is_one_line_on_the_log(app, clock):
    lines = list[str]()
    with TaskHub(app, clock=clock, log=lines.append) as hub:
        hub.wait(hub.start("quick", '"secret"', instance_id="good"))
        hub.wait(hub.start("fails", '"secret"', instance_id="bad"))
        hub.wait(hub.start("nosuch", '"secret"', instance_id="a\nb"))
        hub.wait(hub.start("raises", '"secret"', instance_id="long"))
        hub.start("waits", instance_id="running")
        hub.settle()
        hub.terminate("running", "not\nwanted")
        hub.wait("running")
        hub.start("quick", instance_id="planned", scheduled_start=clock.now() + timedelta(days=1))
        hub.terminate("planned")
    why = "The function 'nosuch' doesn't exist, is disabled, or is not an orchestrator function."
    assert lines[:2] + lines[3:] == [
        "instance bad of 'fails' failed: no luck",
        f"instance a b of 'nosuch' failed: {why}",
        "instance running of 'waits' was terminated: not wanted",
        "instance planned of 'quick' was terminated",
    ]
    assert lines[2].startswith("instance long of 'raises' failed: ValueError: one two [2Jyyy")
    assert lines[2].endswith("y…") and len(lines[2]) < 400


def test_where_no_log_is_given_the_lines_are_logged_as_information(app, clock, caplog):
    caplog.set_level(logging.INFO, "ostinato.testing.azure")
    with TaskHub(app, clock=clock) as hub:
        hub.wait(hub.start("fails", instance_id="bad"))
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("INFO", "instance bad of 'fails' failed: no luck")
    ]


def test_a_hub_that_breaks_down_says_so(app, clock):
    lines = list[str]()
    app.orch_breaks = lambda asked, history: object()
    broken = pytest.raises(RuntimeError, match="the task hub broke down")
    with TaskHub(app, clock=clock, log=lines.append) as hub, broken:
        hub.wait(hub.start("breaks"))
    assert lines == [
        "the task hub broke down: TypeError: Object of type object is not JSON serializable"
    ]


def test_an_activity_is_called_and_its_result_comes_in_a_later_turn(hub, app):
    state = hub.wait(hub.start("acts", '"x"', instance_id="one"))
    assert json.loads(state.output) == '{"got": "x"}'
    assert app.ran == ['"x"']
    assert app.turns == ["one", "one"]


def test_a_failed_activity_is_told_to_the_orchestration(hub):
    state = hub.wait(hub.start("acts", '"bad"'))
    assert state.status is Status.Completed
    assert "Activity function 'act' failed:  ValueError: bad thing" in state.output
    [failed] = [event for event in state.history if isinstance(event, e.TaskFailed)]
    assert failed.task_id == 0


def test_an_activity_that_waits_holds_up_no_other_instance(hub, app):
    slow = hub.start("slow")
    assert hub.wait(hub.start("quick", "1")).status is Status.Completed
    assert hub.get(slow).status in {Status.Pending, Status.Running}
    app.gate.set()
    assert hub.wait(slow).status is Status.Completed


@pytest.mark.parametrize(("count", "turns"), [(6, 3), (7, 4)])
def test_a_turn_takes_together_what_running_activities_answer(app, clock, count, turns):
    options = HubOptions(control_queue_buffer=3, poll=timedelta(minutes=5))
    with TaskHub(app, clock=clock, options=options, activity_threads=1) as hub:
        assert hub.wait(hub.start("many", str(count))).output == str(count)
    assert len(app.turns) == turns


def test_a_turn_that_can_take_no_more_than_it_has_waits_for_no_activity(app, clock):
    options = HubOptions(control_queue_buffer=1, poll=timedelta(minutes=5))
    with TaskHub(app, clock=clock, options=options) as hub:
        slow = hub.start("slow")
        hub.settle(activities=False)
        assert hub.wait(hub.start("quick", "1")).status is Status.Completed
        app.gate.set()
        assert hub.wait(slow).status is Status.Completed


def test_an_unfinished_id_is_refused_and_a_finished_one_replaced(hub):
    hub.start("waits", instance_id="one")
    hub.settle()
    with pytest.raises(InstanceInUse, match=r"already exists\. It is in state Running"):
        hub.start("quick", "1", instance_id="one")
    hub.raise_event("one", "go", "1")
    before = hub.wait("one")
    hub.start("quick", "2", instance_id="one")
    again = hub.wait("one")
    assert (again.name, again.output) == ("quick", "2")
    assert again.execution_id != before.execution_id


def test_an_event_wakes_who_waits_for_it_whatever_the_case_of_its_name(hub):
    id = hub.start("waits")
    hub.settle()
    assert hub.get(id).status is Status.Running
    hub.raise_event(id, "GO", '"now"')
    assert "now" in hub.wait(id).output


def test_an_event_that_comes_before_its_waiter_is_kept(hub):
    hub.start("twice", instance_id="one")
    hub.raise_event("one", "go", "1")
    assert hub.wait("one").output == "1"


def test_an_event_to_nobody_or_to_one_that_ended_is_refused(hub):
    with pytest.raises(InstanceUnknown, match="'nobody'"):
        hub.raise_event("nobody", "go", None)
    id = hub.start("quick", "1")
    hub.wait(id)
    with pytest.raises(InstanceOver, match=r"raise an event to .* Completed"):
        hub.raise_event(id, "go", None)


def test_a_timer_fires_when_the_clock_passes_it_and_not_before(hub, clock):
    id = hub.start("sleeps", "60")
    hub.settle()
    assert hub.next_due() == clock.now() + timedelta(seconds=60)
    clock.advance(59.999)
    hub.settle()
    assert hub.get(id).status is Status.Running
    clock.advance(0.001)
    state = hub.wait(id)
    assert state.status is Status.Completed
    assert [x.timer_id for x in state.history if isinstance(x, e.TimerFired)] == [0]
    assert hub.next_due() is None


def test_a_long_timer_is_split_into_parts_of_the_hosts_length(hub, clock):
    id = hub.start("sleeps", str(7 * 86400))
    parts = []
    hub.settle()
    while (due := hub.next_due()) is not None:
        parts.append((due - clock.now()) / timedelta(days=1))
        clock.advance_to(due)
        hub.settle()
    assert parts == [3, 3, 1]
    assert hub.get(id).status is Status.Completed


def test_a_scheduled_start_waits_for_its_time(hub, app, clock):
    due = clock.now() + timedelta(hours=1)
    id = hub.start("quick", "1", scheduled_start=due)
    hub.settle()
    assert (hub.get(id).status, app.turns, hub.next_due()) == (Status.Pending, [], due)
    clock.advance(3600)
    assert hub.wait(id).status is Status.Completed


def test_a_child_runs_under_its_own_id_and_tells_its_parent(hub):
    id = hub.start("parent", '"quick"')
    assert "7" in hub.wait(id).output
    child = hub.get("kid")
    assert (child.parent_id, child.input, child.status) == (id, "7", Status.Completed)


def test_a_child_that_fails_is_told_to_its_parent(hub):
    state = hub.wait(hub.start("parent", '"fails"'))
    assert (state.status, hub.get("kid").status) == (Status.Completed, Status.Failed)
    assert "no luck" in state.output


def test_a_function_that_raises_fails_its_instance(hub):
    state = hub.wait(hub.start("fails"))
    assert state.status is Status.Failed
    assert "no luck" in state.output


def test_terminating_ends_an_instance_and_leaves_its_child(hub):
    id = hub.start("parent", '"waits"')
    hub.settle()
    hub.terminate(id, "enough")
    state = hub.wait(id)
    assert (state.status, state.output) == (Status.Terminated, "enough")
    assert hub.get("kid").status is Status.Running
    with pytest.raises(InstanceOver, match=r"terminate .* Terminated"):
        hub.terminate(id)


def test_an_instance_that_has_not_begun_is_terminated_without_a_turn(hub, app, clock):
    id = hub.start("quick", scheduled_start=clock.now() + timedelta(hours=1))
    hub.terminate(id, "not needed")
    assert hub.get(id).status is Status.Terminated
    clock.advance(7200)
    hub.settle()
    assert (app.turns, hub.get(id).output) == ([], "not needed")


def test_a_suspended_instance_is_shown_so_until_it_is_resumed(hub):
    id = hub.start("waits")
    hub.settle()
    with pytest.raises(WrongState, match=r"resume .* Running"):
        hub.resume(id)
    hub.suspend(id, "hold")
    hub.settle()
    assert hub.get(id).status is Status.Suspended
    with pytest.raises(WrongState, match=r"suspend .* Suspended"):
        hub.suspend(id)
    hub.resume(id, "on")
    hub.settle()
    state = hub.get(id)
    assert state.status is Status.Running
    asked = [x for x in state.history if isinstance(x, e.ExecutionSuspended | e.ExecutionResumed)]
    assert [event.reason for event in asked] == ["hold", "on"]
    hub.raise_event(id, "go", "1")
    assert hub.wait(id).status is Status.Completed


def test_continuing_as_new_begins_a_history_with_the_new_input(hub):
    id = hub.start("counts", "1")
    executions = []
    for expected in (1, 2, 3):
        hub.settle()
        state = hub.get(id)
        assert (state.status, state.input) == (Status.Running, str(expected))
        executions.append(state.execution_id)
        hub.raise_event(id, "go", "null")
    assert hub.wait(id).output == "3"
    assert len(set(executions)) == 3


def test_an_answer_that_is_delivered_twice_stands_twice_in_history_and_does_nothing_more(hub, app):
    hub.start("twice", instance_id="one")
    hub.settle()
    with pytest.raises(LookupError, match="activity 5 of one"):
        hub.redeliver("one", 5)
    hub.redeliver("one", 0)
    hub.settle()
    assert hub.get("one").status is Status.Running
    answers = [x for x in hub.get("one").history if isinstance(x, e.TaskCompleted)]
    assert [x.task_id for x in answers] == [0, 0]
    assert app.ran == ["1"]
    hub.raise_event("one", "go", "1")
    assert hub.wait("one").output == "2"


def test_messages_that_are_held_back_come_in_one_turn_in_the_order_asked(hub, app):
    id = hub.start("waits")
    hub.settle()
    hub.hold(id)
    for name in ("go", "a", "b"):
        hub.raise_event(id, name, json.dumps(name))
    hub.settle()
    turns = len(app.turns)
    hub.release(id, order=lambda event: event.name)
    state = hub.wait(id)
    assert len(app.turns) == turns + 1
    names = [event.name for event in state.history if isinstance(event, e.EventRaised)]
    assert names == ["a", "b", "go"]


def test_a_purged_instance_is_forgotten_and_what_comes_for_it_goes_nowhere(hub, app):
    id = hub.start("slow")
    hub.settle(activities=False)
    hub.purge(id)
    app.gate.set()
    hub.settle()
    with pytest.raises(InstanceUnknown):
        hub.get(id)
    with pytest.raises(InstanceUnknown):
        hub.purge(id)


def test_purging_many_takes_the_finished_that_match(hub, clock):
    begun = clock.now()
    hub.wait(hub.start("quick", "1", instance_id="a"))
    clock.advance(60)
    hub.wait(hub.start("quick", "1", instance_id="b"))
    hub.wait(hub.start("fails", instance_id="c"))
    hub.start("waits", instance_id="d")
    hub.settle()
    assert hub.purge_many(created_to=begun) == 1
    assert hub.purge_many(statuses=[Status.Failed]) == 1
    assert [state.instance_id for state in hub.list_instances().instances] == ["b", "d"]
    assert hub.purge_many() == 1
    assert [state.instance_id for state in hub.list_instances().instances] == ["d"]


def test_instances_are_listed_by_id_a_page_at_a_time(hub):
    for id in ("x2", "x1", "y", "x3"):
        hub.wait(hub.start("quick", "1", instance_id=id))
    first = hub.list_instances(prefix="x", top=2)
    assert [state.instance_id for state in first.instances] == ["x1", "x2"]
    second = hub.list_instances(prefix="x", top=2, token=first.token)
    assert [state.instance_id for state in second.instances] == ["x3"]
    assert second.token is None
    assert hub.list_instances(statuses=[Status.Failed]).instances == ()


def test_restarting_takes_the_name_and_the_input_of_an_instance(hub):
    hub.wait(hub.start("quick", "5", instance_id="one"))
    other = hub.restart("one")
    assert other != "one"
    assert hub.wait(other).output == "5"
    assert hub.restart("one", new_id=False) == "one"
    assert hub.wait("one").output == "5"


def test_rewinding_a_failed_instance_runs_what_is_deployed_now(hub, app):
    class Mended(App):
        def orch_fails(self, asked, history):
            return self.orch_quick(asked, history)

    id = hub.start("fails", "9")
    assert hub.wait(id).status is Status.Failed
    hub.deploy(Mended())
    hub.rewind(id, "mended")
    assert hub.wait(id).output == "9"
    with pytest.raises(WrongState, match=r"rewind .* Completed"):
        hub.rewind(id)


class Ending(App):
    """An app that is ended while it is called for the first time, and another deployed."""

    def __init__(self, *, after=0, instead=None):
        super().__init__()
        self.after = after
        self.instead = instead
        self.hub: TaskHub | None = None

    def _end(self):
        self.after -= 1
        if self.after < 0:
            assert self.hub is not None
            if self.instead is not None:
                self.hub.deploy(self.instead)
            raise Undeployed("the worker is closed")

    def orchestrate(self, name, request):
        self._end()
        return super().orchestrate(name, request)

    def run_activity(self, name, input):
        self._end()
        return super().run_activity(name, input)

    def run_entity(self, name, request):
        self._end()
        return super().run_entity(name, request)


@pytest.mark.parametrize("after", [0, 1, 2], ids=["first turn", "activity", "second turn"])
def test_a_turn_or_an_activity_that_a_deployment_ends_is_done_again_by_what_is_deployed(
    app, clock, after
):
    ended = Ending(after=after, instead=app)
    with TaskHub(ended, clock=clock) as hub:
        ended.hub = hub
        hub.start("acts", '"x"', instance_id="one")
        state = hub.wait("one")
    assert (state.status, state.output) == (Status.Completed, json.dumps('{"got": "x"}'))
    assert app.ran == ['"x"'] * (after < 2) and len(app.turns) == 2 - (after > 0)


def test_a_batch_of_an_entity_that_a_deployment_ends_is_done_again(app, clock):
    ended = Ending(instead=app)
    with TaskHub(ended, clock=clock) as hub:
        ended.hub = hub
        hub.signal_entity("counter", "k", "add", "2")
        hub.settle()
        assert hub.entity_state("counter", "k") == "2"


def test_an_app_that_is_closed_and_not_replaced_breaks_the_hub(clock):
    ended = Ending()
    with TaskHub(ended, clock=clock) as hub:
        ended.hub = hub
        hub.start("quick", "1", instance_id="one")
        with pytest.raises(RuntimeError, match="broke down") as caught:
            hub.wait("one")
    assert isinstance(caught.value.__cause__, Undeployed)


def test_an_entity_keeps_its_state_from_signal_to_signal(hub):
    assert hub.entity_state("Counter", "k") is None
    hub.signal_entity("Counter", "k", "add", "2")
    hub.settle()
    hub.signal_entity("counter", "k", "add", "3")
    hub.settle()
    assert hub.entity_state("counter", "k") == "5"


def test_settling_says_what_still_moves(hub, app):
    hub.start("slow", instance_id="one")
    hub.settle(activities=False)
    with pytest.raises(TimeoutError, match=r"at work: .*slow of one"):
        hub.settle(timeout=0)

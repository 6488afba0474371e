from __future__ import annotations

import msgspec
import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.client import RuntimeStatus
from ostinato.failures import Failure
from ostinato.local.cycle import MAX_WAVES, Cycle, pending
from ostinato.local.flight import Flight
from ostinato.local.instances import Instances
from ostinato.local.memory import MemoryStore
from ostinato.local.store import START_TIMER, Message
from ostinato.local.workers import ActivityWorkers
from ostinato.testing.crashes import check_hub
from ostinato.testing.store_contract import NOW, SECOND

app = ost.App("cycles")


@app.orchestration
def leaf(ctx: ost.OrchestrationContext, value: int):
    return value
    yield


@app.orchestration
def nested(ctx: ost.OrchestrationContext, depth: int):
    if depth == 0:
        return 0
    below = yield ctx.call_sub_orchestrator(nested, depth - 1)
    return below + 1


@app.orchestration
def waits(ctx: ost.OrchestrationContext):
    return (yield ctx.wait_for_external_event("go"))


@app.orchestration
def sends(ctx: ost.OrchestrationContext, target: str):
    ctx.send_event(target, "go", 1)
    ctx.send_event(target, "go", 2)
    return None
    yield


class Stand:
    """Cycles over a store in memory, without an engine."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.instances = Instances(app.registry, self.store, 100)
        self.flight = Flight(ActivityWorkers(app.registry, lambda work, outcome: None), 5)
        self.now = NOW

    def cycle(self, *, delivers: bool = True) -> Cycle:
        return Cycle(
            app.registry, self.store, self.instances, self.flight, self.now, delivers=delivers
        )

    def commit(self, cycle: Cycle) -> None:
        self.store.commit(cycle.run())
        for instance_id, turn in cycle.turns.items():
            if turn.ended:
                self.instances.drop(instance_id)

    def run(self, *, delivers: bool = True) -> int:
        """Read and deliver stored messages until none is left; return how many cycles it took."""
        cycles = 0
        while stored := self.store.inbox(0, 1000):
            cycle = self.cycle(delivers=delivers)
            for message in stored:
                cycle.send(message)
            self.commit(cycle)
            cycles += 1
            assert cycles < 100
        check_hub(self.store)
        return cycles

    def start(self, name: str, given: str = "null", *, delivers: bool = True, **fields) -> None:
        cycle = self.cycle(delivers=delivers)
        cycle.start(started(name, given, **fields), replaces=False)
        self.commit(cycle)

    def status(self, instance_id: str) -> RuntimeStatus:
        head = self.store.instance(instance_id)
        assert head is not None
        return head.status

    def output(self, instance_id: str) -> str | None:
        last = self.store.last_event(instance_id)
        assert isinstance(last, ev.ExecutionCompleted)
        return last.result


def started(name: str, given: str, **fields) -> ev.ExecutionStarted:
    return ev.ExecutionStarted(
        at=NOW, instance_id=name, execution_id=f"{name}-1", name=name, input=given, **fields
    )


def raised(data: str) -> ev.EventRaised:
    return ev.EventRaised(at=NOW, name="go", data=data)


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_a_new_instance_runs_its_first_turn_in_the_same_cycle(stand: Stand):
    stand.start("leaf", "7")
    assert stand.status("leaf") is RuntimeStatus.COMPLETED
    assert stand.output("leaf") == "7"
    assert stand.store.inbox(0, 10) == []


def test_messages_reach_other_instances_within_the_cycle(stand: Stand):
    stand.start("waits")
    stand.start("sends", '"waits"')
    assert stand.output("waits") == "1"


def test_messages_are_stored_for_another_cycle_when_they_are_not_to_be_delivered(stand: Stand):
    stand.start("waits")
    stand.start("sends", '"waits"', delivers=False)
    assert stand.status("waits") is RuntimeStatus.RUNNING
    assert stand.run() == 1
    assert stand.output("waits") == "1"


@pytest.mark.parametrize("delivers", [True, False])
def test_children_of_any_depth_end_in_their_parents(stand: Stand, delivers: bool):
    depth = 3 * MAX_WAVES
    stand.start("nested", str(depth), delivers=delivers)
    assert stand.run(delivers=delivers) > 1
    assert stand.output("nested") == str(depth)


def test_a_message_to_nobody_is_dropped(stand: Stand):
    stand.store.send([Message(instance_id="nobody", event=raised("1"))])
    assert stand.run() == 1
    assert stand.store.instance("nobody") is None


def test_a_message_to_an_instance_that_has_ended_is_dropped(stand: Stand):
    stand.start("leaf", "7")
    length = len(stand.store.history("leaf"))
    stand.store.send([Message(instance_id="leaf", event=raised("1"))])
    assert stand.run() == 1
    assert len(stand.store.history("leaf")) == length


def test_a_message_that_comes_before_the_start_waits_for_it(stand: Stand):
    start = started("waits", "null")
    assert stand.store.create(pending(start), start, "reject") == "created"
    (stored,) = stand.store.inbox(0, 10)
    cycle = stand.cycle()
    cycle.send(Message(instance_id="waits", event=raised("1")))
    stand.commit(cycle)
    assert stand.status("waits") is RuntimeStatus.PENDING
    cycle = stand.cycle()
    cycle.send(stored)
    stand.commit(cycle)
    assert stand.output("waits") == "1"
    assert stand.store.inbox(0, 10) == []


def test_a_later_start_waits_for_its_time(stand: Stand):
    stand.start("waits", start_at=NOW + SECOND)
    stand.store.send([Message(instance_id="waits", event=raised("1"))])
    assert stand.store.next_due() == NOW + SECOND
    cycle = stand.cycle()
    for message in stand.store.inbox(0, 10):
        cycle.send(message)
    stand.commit(cycle)
    assert stand.status("waits") is RuntimeStatus.PENDING
    assert len(stand.store.inbox(0, 10)) == 2
    stand.now += SECOND
    assert [timer.task_id for timer in stand.store.due(stand.now, 10)] == [START_TIMER]
    assert stand.run() == 1
    assert stand.output("waits") == "1"
    assert stand.store.next_due() is None


def test_the_head_is_seen_as_the_cycle_leaves_it(stand: Stand):
    cycle = stand.cycle()
    assert cycle.head("leaf") is None
    cycle.start(started("leaf", "7"), replaces=False)
    head = cycle.head("leaf")
    assert head is not None
    assert head.status is RuntimeStatus.PENDING
    cycle.run()
    head = cycle.head("leaf")
    assert head is not None
    assert head.status is RuntimeStatus.COMPLETED


def test_an_instance_that_is_given_up_fails_and_can_be_rewound(stand: Stand):
    stand.start("waits")
    cycle = stand.cycle()
    cycle.give_up("waits", [], [], ValueError("no turn can be written"))
    stand.commit(cycle)
    last = stand.store.last_event("waits")
    assert isinstance(last, ev.ExecutionCompleted)
    assert last.failure is not None
    assert last.failure.message == "no turn can be written"
    cycle = stand.cycle()
    cycle.send(Message(instance_id="waits", event=ev.ExecutionRewound(at=NOW)))
    cycle.send(Message(instance_id="waits", event=raised("1")))
    stand.commit(cycle)
    assert stand.output("waits") == "1"
    check_hub(stand.store)


# What comes together with the end of a generation


@app.orchestration
def spins(ctx: ost.OrchestrationContext, left: int | None):
    if left is None:
        left = yield ctx.wait_for_external_event("go", int)
    if left:
        ctx.continue_as_new(left - 1)
        return None
    return (yield ctx.wait_for_external_event("never"))


BOSS = ev.Parent("boss", "boss-1", 4)
END = ev.ExecutionTerminated(at=NOW, reason="enough")


@pytest.mark.parametrize("generations", [1, 100], ids=["few", "many"])
@pytest.mark.parametrize(
    ("event", "parent", "status"),
    [
        (END, None, RuntimeStatus.TERMINATED),
        (END, BOSS, RuntimeStatus.TERMINATED),
        (ev.ExecutionSuspended(at=NOW), None, RuntimeStatus.SUSPENDED),
    ],
    ids=["terminated", "ended-by-its-parent", "suspended"],
)
def test_what_steers_an_instance_reaches_it_over_any_number_of_generations(
    stand: Stand, event: ev.Event, parent: ev.Parent | None, status: RuntimeStatus, generations: int
):
    stand.start("spins", parent=parent)
    steering = Message(instance_id="spins", event=event, parent=parent)
    told(stand, Message(instance_id="spins", event=raised(str(generations))), steering)
    stand.run()
    assert stand.status("spins") is status


def test_what_is_suspended_while_it_continues_as_new_goes_on_when_it_is_resumed(stand: Stand):
    stand.start("spins")
    suspended, resumed = ev.ExecutionSuspended(at=NOW), ev.ExecutionResumed(at=NOW)
    for event in (raised("100"), suspended, resumed):
        stand.store.send([Message(instance_id="spins", event=event)])
    stand.run()
    assert stand.status("spins") is RuntimeStatus.RUNNING


# Parents and children


@app.activity
def work(given: int) -> int:
    return given


@app.orchestration
def cares(ctx: ost.OrchestrationContext):
    child = ctx.call_sub_orchestrator(waits, instance_id="kid")
    yield ctx.call_activity(work, 1)
    return (yield child)


@app.orchestration
def adopts(ctx: ost.OrchestrationContext, tells: bool):
    yield ctx.wait_for_external_event("go")
    child = ctx.call_sub_orchestrator(waits, instance_id="kid")
    if tells:
        ctx.send_event("kid", "go", 42)
    return (yield child)


WORK_FAILS = ev.TaskFailed(at=NOW, task_id=1, failure=Failure(type="ValueError"))
WORK_COMPLETES = ev.TaskCompleted(at=NOW, task_id=1, result="1")
REWIND = Message(instance_id="cares", event=ev.ExecutionRewound(at=NOW))


def told(stand: Stand, *messages: Message, delivers: bool = True) -> None:
    """Give messages in one cycle."""
    cycle = stand.cycle(delivers=delivers)
    for message in messages:
        cycle.send(message)
    stand.commit(cycle)


def to_parent(event: ev.Event) -> Message:
    return Message(instance_id="cares", execution_id="cares-1", event=event)


def begin(stand: Stand, name: str, instance_id: str, given: str = "null") -> None:
    start = msgspec.structs.replace(
        started(name, given), instance_id=instance_id, execution_id=f"{instance_id}-1"
    )
    cycle = stand.cycle()
    cycle.start(start, replaces=False)
    stand.commit(cycle)


def go(instance_id: str, data: str = "1") -> Message:
    return Message(instance_id=instance_id, event=raised(data))


def generation_of(stand: Stand, instance_id: str) -> str:
    head = stand.store.instance(instance_id)
    assert head is not None
    return head.execution_id


def parent_failed(stand: Stand) -> Message:
    """A parent has failed, and its child has not been ended yet: return what will end it."""
    stand.start("cares")
    told(stand, to_parent(WORK_FAILS), delivers=False)
    assert stand.status("cares") is RuntimeStatus.FAILED
    assert stand.status("kid") is RuntimeStatus.RUNNING
    (end,) = stand.store.inbox(0, 10)
    assert isinstance(end.event, ev.ExecutionTerminated)
    return end


@pytest.mark.parametrize("read", ["later", "after", "before"])
def test_a_rewind_at_once_calls_off_the_end_of_a_child(stand: Stand, read: str):
    end = parent_failed(stand)
    told(stand, *{"later": [REWIND], "after": [REWIND, end], "before": [end, REWIND]}[read])
    stand.run()
    assert stand.status("cares") is RuntimeStatus.RUNNING
    assert stand.status("kid") is RuntimeStatus.RUNNING
    told(stand, to_parent(WORK_COMPLETES), go("kid", "7"))
    stand.run()
    assert stand.output("cares") == "7"


@pytest.mark.parametrize("delivers", [True, False])
def test_a_parent_that_goes_on_gets_what_its_child_completed_with_meanwhile(
    stand: Stand, delivers: bool
):
    end = parent_failed(stand)
    told(stand, go("kid", "7"), end)
    assert stand.output("kid") == "7"
    generation = generation_of(stand, "kid")
    told(stand, REWIND, delivers=delivers)
    told(stand, to_parent(WORK_COMPLETES))
    stand.run()
    assert stand.output("cares") == "7"
    assert generation_of(stand, "kid") == generation


def test_a_child_that_its_parent_has_ended_runs_anew_after_a_rewind(stand: Stand):
    told(stand, parent_failed(stand))
    assert stand.status("kid") is RuntimeStatus.TERMINATED
    told(stand, REWIND)
    assert stand.status("kid") is RuntimeStatus.RUNNING
    told(stand, to_parent(WORK_COMPLETES), go("kid", "7"))
    stand.run()
    assert stand.output("cares") == "7"


@pytest.mark.parametrize("delivers", [True, False])
def test_of_two_that_want_a_child_of_one_id_in_one_cycle_the_first_gets_it(
    stand: Stand, delivers: bool
):
    for parent in ("first", "second"):
        begin(stand, "adopts", parent, "false")
    told(stand, go("first"), go("second"), delivers=delivers)
    stand.run()
    last = stand.store.last_event("second")
    assert isinstance(last, ev.ExecutionCompleted)
    assert last.failure is not None
    assert last.failure.type == "InstanceExistsError"
    told(stand, go("kid", "7"))
    assert stand.output("first") == "7"


@pytest.mark.parametrize("delivers", [True, False])
@pytest.mark.parametrize("kid", ["new", "ended", "ends"])
def test_a_child_gets_what_its_parent_sent_it_whenever_it_starts(
    stand: Stand, kid: str, delivers: bool
):
    begin(stand, "adopts", "parent", "true")
    if kid != "new":
        begin(stand, "waits", "kid")
    if kid == "ended":
        told(stand, go("kid"))
    ends = [go("kid")] if kid == "ends" else []
    told(stand, *ends, go("parent"), delivers=delivers)
    stand.run()
    assert stand.output("parent") == "42"

from __future__ import annotations

import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.client import RuntimeStatus
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

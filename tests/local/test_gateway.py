from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.client import IfExists
from ostinato.errors import (
    InstanceExistsError,
    InstanceFinishedError,
    InstanceNotFoundError,
    NotRewindableError,
    StoreError,
)
from ostinato.events import ExecutionStarted
from ostinato.local import LocalHost
from ostinato.local.gateway import EngineGateway, Gateway, StoreGateway
from ostinato.local.store import Message, Store
from ostinato.testing.store_contract import NOW
from tests.local.conftest import Hub

PATIENCE = 30.0

app = ost.App("gates")


@app.orchestration
def waits(ctx: ost.OrchestrationContext):
    return (yield ctx.wait_for_external_event("go"))


@app.orchestration
def ends(ctx: ost.OrchestrationContext):
    return 1
    yield


class Way:
    """A gateway to a hub that a host executes."""

    def __init__(self, gateway: Gateway, host: LocalHost, store: Store) -> None:
        self.gateway = gateway
        self.host = host
        self.store = store

    def create(self, name: str, instance_id: str = "a", if_exists: IfExists = "reject") -> None:
        self.gateway.create([(start(name, instance_id), if_exists)])
        self.host._engine.wake()

    def ended(self, instance_id: str = "a") -> None:
        self.host.client.wait(instance_id, PATIENCE)


def start(name: str, instance_id: str) -> ExecutionStarted:
    execution_id = f"{instance_id}-{name}"
    return ExecutionStarted(at=NOW, instance_id=instance_id, execution_id=execution_id, name=name)


def go(instance_id: str = "a") -> Message:
    return Message(instance_id=instance_id, event=ev.EventRaised(at=NOW, name="go"))


@pytest.fixture(params=["engine", "store"])
def way(request: pytest.FixtureRequest, file_hub: Hub) -> Iterator[Way]:
    host = file_hub.open(app, poll_interval=0.01)
    with closing(file_hub.store()) as store:
        engine, remote = EngineGateway(host._engine), StoreGateway(store)
        yield Way(engine if request.param == "engine" else remote, host, store)


def test_what_is_created_runs(way: Way):
    way.create("ends")
    way.ended()


def test_an_id_that_is_taken_is_refused(way: Way):
    way.create("waits")
    for name in ("waits", "ends"):
        with pytest.raises(InstanceExistsError, match="'a' exists already"):
            way.create(name)
    with pytest.raises(InstanceExistsError, match="replace_finished"):
        way.create("ends", if_exists="replace_finished")
    way.create("ends", if_exists="attach")
    head = way.store.instance("a")
    assert head is not None
    assert head.execution_id == "a-waits"


def test_a_finished_instance_is_replaced(way: Way):
    way.create("ends")
    way.ended()
    with pytest.raises(InstanceExistsError, match="Completed"):
        way.create("waits")
    way.create("waits", if_exists="replace_finished")
    head = way.store.instance("a")
    assert head is not None
    assert head.execution_id == "a-waits"


def test_a_message_is_delivered(way: Way):
    way.create("waits")
    way.gateway.send(go())
    way.ended()


def test_a_message_that_makes_no_sense_is_refused(way: Way):
    rewound = Message(instance_id="a", event=ev.ExecutionRewound(at=NOW))
    with pytest.raises(InstanceNotFoundError, match="'a'"):
        way.gateway.send(go())
    way.create("waits")
    with pytest.raises(NotRewindableError, match="only a failed one"):
        way.gateway.send(rewound)
    way.gateway.send(go())
    way.ended()
    with pytest.raises(InstanceFinishedError, match="Completed"):
        way.gateway.send(go())
    with pytest.raises(NotRewindableError):
        way.gateway.send(rewound)


def test_only_what_has_ended_is_purged(way: Way):
    with pytest.raises(InstanceNotFoundError):
        way.gateway.purge(["a"], skip=False)
    way.create("waits")
    with pytest.raises(InstanceExistsError, match="terminate it"):
        way.gateway.purge(["a"], skip=False)
    way.gateway.send(go())
    way.ended()
    assert way.gateway.purge(["a"], skip=False) == 1
    assert way.store.instance("a") is None
    way.create("ends")
    way.ended()


def test_what_is_gone_or_runs_is_skipped_when_many_are_purged(way: Way):
    way.create("waits")
    assert way.gateway.purge(["a", "unknown"], skip=True) == 0
    way.gateway.send(go())
    way.ended()
    assert way.gateway.purge(["a", "unknown"], skip=True) == 1


def test_waiting_returns_when_time_is_up(way: Way):
    way.create("waits")
    way.gateway.await_end("a", 0.0)


def test_the_engine_starts_all_or_none(hub: Hub):
    gateway = EngineGateway(hub.open(app)._engine)
    starts: list[tuple[ExecutionStarted, IfExists]] = [
        (start("waits", "a"), "reject"),
        (start("ends", "a"), "reject"),
    ]
    with pytest.raises(InstanceExistsError):
        gateway.create(starts)
    with pytest.raises(InstanceNotFoundError):
        gateway.send(go())


def test_of_two_starts_that_may_attach_the_first_counts(hub: Hub):
    host = hub.open(app)
    gateway = EngineGateway(host._engine)
    gateway.create([(start("waits", "a"), "attach"), (start("ends", "a"), "attach")])
    assert host.client.get_status("a").name == "waits"


def test_who_waits_at_a_host_that_closes_is_told(hub: Hub):
    host = hub.open(app)
    gateway = EngineGateway(host._engine)
    gateway.create([(start("waits", "a"), "reject")])
    host._engine.close(0.0)
    with pytest.raises(StoreError, match="closed"):
        gateway.await_end("a", PATIENCE)

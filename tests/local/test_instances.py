from __future__ import annotations

from contextlib import closing

import pytest

import ostinato as ost
from ostinato.client import RuntimeStatus
from ostinato.local.instances import Instances
from ostinato.local.store import Instance, Store
from ostinato.local.turns import Live
from ostinato.testing.store_contract import after, head, new, started
from tests.local.conftest import Hub

app = ost.App("instances")


@app.orchestration
def ingest(ctx: ost.OrchestrationContext):
    return (yield ctx.wait_for_external_event("go"))


def running(store: Store, instance_id: str = "a") -> Instance:
    store.commit([new(instance_id, events=[started(instance_id)])])
    found = store.instance(instance_id)
    assert found is not None
    return found


def test_an_unknown_instance_is_none(hub: Hub):
    with closing(hub.store()) as store:
        instances = Instances(app.registry, store, 1)
        assert instances.load("a") is None
        assert instances.head("a") is None


def test_an_instance_is_replayed_from_its_history(hub: Hub):
    with closing(hub.store()) as store:
        stored = running(store)
        live = Instances(app.registry, store, 1).load("a")
        assert live is not None
        assert live.head == stored
        assert live.orchestration is not None
        assert live.orchestration.waiting_for() != []
        store.purge(["a"])


def test_what_is_kept_is_not_replayed_again(hub: Hub):
    with closing(hub.store()) as store:
        running(store)
        instances = Instances(app.registry, store, 1)
        live = instances.load("a")
        assert instances.load("a") is live
        instances.drop("a")
        assert instances.load("a") is not live


def test_nothing_is_kept_beyond_the_size(hub: Hub):
    with closing(hub.store()) as store:
        for instance_id in ("a", "b"):
            running(store, instance_id)
        instances = Instances(app.registry, store, 1)
        first, second = instances.load("a"), instances.load("b")
        instances.trim()
        assert instances.load("b") is second
        assert instances.load("a") is not first


def test_a_finished_instance_is_neither_replayed_nor_kept(hub: Hub):
    with closing(hub.store()) as store:
        running(store)
        ended = head(length=1, status=RuntimeStatus.COMPLETED)
        store.commit([after(ended)])
        instances = Instances(app.registry, store, 1)
        live = instances.load("a")
        assert live is not None
        assert live.orchestration is None
        assert instances.load("a") is not live


def test_the_head_at_hand_is_the_one_that_counts(hub: Hub):
    with closing(hub.store()) as store:
        stored = running(store)
        instances = Instances(app.registry, store, 1)
        newer = head(length=5)
        instances.admit(Live(newer, None))
        assert instances.head("a") == newer
        instances.clear()
        assert instances.head("a") == stored


@pytest.mark.parametrize("use", ["drop", "clear", "admit"])
def test_a_generator_that_is_given_up_is_closed(hub: Hub, use: str):
    closed: list[str] = []
    minding = ost.App("minding")

    @minding.orchestration(name="ingest")
    def minds(ctx: ost.OrchestrationContext):
        try:
            yield ctx.wait_for_external_event("go")
        finally:
            closed.append("closed")

    with closing(hub.store()) as store:
        stored = running(store)
        instances = Instances(minding.registry, store, 1)
        assert instances.load("a") is not None
        match use:
            case "drop":
                instances.drop("a")
            case "clear":
                instances.clear()
            case _:
                instances.admit(Live(stored, None))
        assert closed == ["closed"]

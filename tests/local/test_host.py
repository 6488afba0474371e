from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ostinato as ost
from ostinato.errors import NotAStoreError, StoreError
from ostinato.local import LocalHost
from ostinato.local.host import open_store
from ostinato.local.memory import MemoryStore
from ostinato.local.sqlite import SqliteStore
from tests.local.conftest import Hub

PATIENCE = 30.0

app = ost.App("hosted")


@app.activity
def double(number: int) -> int:
    return number * 2


@app.orchestration
def doubles(ctx: ost.OrchestrationContext, number: int):
    return (yield ctx.call_activity(double, number))


@app.orchestration
def waits(ctx: ost.OrchestrationContext):
    return (yield ctx.wait_for_external_event("go"))


def test_a_host_runs_an_application_in_memory():
    with LocalHost(app, store=":memory:") as host:
        assert host.client.wait(host.client.start("doubles", 4), PATIENCE).output == 8


@pytest.mark.parametrize("as_text", [True, False])
def test_a_host_keeps_a_file(tmp_path: Path, as_text: bool):
    path = tmp_path / "hub.db"
    with LocalHost(app, store=str(path) if as_text else path) as host:
        instance_id = host.client.start("doubles", 4)
        host.client.wait(instance_id, PATIENCE)
    with LocalHost(app, store=path) as host:
        assert host.client.get_status(instance_id).output == 8
        assert host.recovered == 0


def test_what_is_given_is_opened_or_taken_as_it_is(tmp_path: Path):
    given = MemoryStore()
    assert open_store(given) is given
    assert isinstance(open_store(":memory:"), MemoryStore)
    opened = open_store(tmp_path / "hub.db")
    assert isinstance(opened, SqliteStore)
    opened.close()


def test_a_host_tells_how_many_instances_it_found_unfinished(hub: Hub):
    host = hub.open(app)
    for _ in range(3):
        host.client.start("waits")
    host.client.wait(host.client.start("doubles", 1), PATIENCE)
    host.close()
    assert hub.open(app).recovered == 3


def test_a_store_that_another_host_uses_is_left_to_it():
    store = MemoryStore()
    with LocalHost(app, store=store) as host:
        for _ in range(2):
            with pytest.raises(ost.HubLockedError):
                LocalHost(app, store=store)
        assert host.client.wait(host.client.start("doubles", 4), PATIENCE).output == 8


def test_an_open_file_that_another_host_uses_is_left_to_it(tmp_path: Path):
    store = SqliteStore(tmp_path / "hub.db")
    with LocalHost(app, store=store) as host:
        with pytest.raises(ost.HubLockedError):
            LocalHost(app, store=store)
        assert host.client.wait(host.client.start("doubles", 4), PATIENCE).output == 8


def test_a_file_that_is_no_hub_is_refused(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("notes" * 100)
    with pytest.raises(NotAStoreError):
        LocalHost(app, store=path)
    with pytest.raises(NotAStoreError):
        ost.local.connect(path)


def test_a_host_that_moves_for_too_long_is_not_settled():
    import threading

    release = threading.Event()
    busy = ost.App("busy")
    busy.activity(name="hold")(lambda: release.wait(PATIENCE))

    @busy.orchestration
    def holds(ctx: ost.OrchestrationContext):
        yield ctx.call_activity("hold")

    with LocalHost(busy, store=":memory:") as host:
        host.client.start("holds")
        with pytest.raises(TimeoutError, match=r"0\.01 s"):
            host.settle(0.01)
        release.set()
        host.settle()


def test_closing_ends_a_wait():
    with LocalHost(app, store=":memory:") as host:
        instance_id = host.client.start("waits")
    with pytest.raises(StoreError, match="closed"):
        host.client.wait(instance_id, PATIENCE)


def test_progress_is_counted(hub: Hub):
    host = hub.open(app)
    instance_id = host.client.start("doubles", 4)
    host.settle()
    for _ in range(2):
        progress = host.progress(instance_id)
        assert (progress.scheduled, progress.completed, progress.running) == (1, 1, 0)


def test_a_healthy_host_has_no_trouble(hub: Hub):
    assert hub.open(app).trouble is None


def test_a_remote_hub_shows_what_a_host_did(file_hub: Hub):
    host = file_hub.open(app)
    instance_id = host.client.start("doubles", 4)
    host.settle()
    assert file_hub.path is not None
    with ost.local.connect(file_hub.path) as hub:
        assert hub.client.get_status(instance_id).output == 8
    with pytest.raises(StoreError, match="closed"):
        hub.client.get_status(instance_id)


def test_a_remote_hub_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path):
    for missing in (tmp_path / "none.db", str(tmp_path / "none.db"), tmp_path):
        with pytest.raises(StoreError, match="there is no task hub"):
            ost.local.connect(missing)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"app": "x.db"}, "takes an App first, not str"),
        ({"max_concurrent_activities": 0}, "max_concurrent_activities is 0"),
        ({"max_concurrent_activities": "4"}, "max_concurrent_activities is a whole number"),
        ({"cache_size": -1}, "cache_size is -1"),
        ({"max_crashes": 0}, "max_crashes is 0"),
    ],
)
def test_a_host_that_cannot_be_makes_no_file(tmp_path: Path, options: dict[str, Any], message: str):
    given: dict[str, Any] = {"app": app, "store": tmp_path / "hub.db", **options}
    with pytest.raises((TypeError, ValueError), match=message):
        LocalHost(**given)
    assert list(tmp_path.iterdir()) == []


def test_what_runs_shows_its_last_sign_of_life():
    import threading

    beaten, release = threading.Event(), threading.Event()
    beating = ost.App("beating")

    @beating.activity
    def beats(context: ost.ActivityContext) -> None:
        context.heartbeat({"rows": 3})
        beaten.set()
        release.wait(PATIENCE)

    @beating.orchestration
    def calls(ctx: ost.OrchestrationContext):
        yield ctx.call_activity(beats)

    with LocalHost(beating, store=":memory:") as host:
        instance_id = host.client.start("calls")
        assert beaten.wait(PATIENCE)
        (running,) = host.running(instance_id)
        assert (running.name, running.attempt, running.details) == ("beats", 1, {"rows": 3})
        assert running.last_heartbeat is not None
        release.set()
        host.client.wait(instance_id, PATIENCE)
        assert host.running("another") == []

"""Finished instances are forgotten when their time is up, on the stand-in of the extension."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import httpx
import pytest

import ostinato as ost
import ostinato_azure
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure import retention
from ostinato_azure.client import AzureClient
from ostinato_azure.retention import forget_expired, least_time
from tests.conformance.harness import EPOCH

app = ost.App("retention")


@app.orchestration(purge_after=timedelta(hours=1))
def brief(ctx: ost.OrchestrationContext):
    """Run a child, and wait if it is told to."""
    yield ctx.call_sub_orchestrator(child)
    if ctx.get_input():
        yield ctx.wait_for_external_event("end")


@app.orchestration
def child(ctx: ost.OrchestrationContext):
    return ctx.instance_id
    yield


@app.orchestration(purge_after=timedelta(days=1))
def longer(ctx: ost.OrchestrationContext):
    raise ValueError("in the end")
    yield


def quick(ctx: ost.OrchestrationContext):
    return 1
    yield


for name, first in (("brief_or_not", None), ("brief_or_longer", timedelta(days=1))):
    app.orchestration(name=name, version="1", purge_after=first)(quick)
    app.orchestration(name=name, version="2", purge_after=timedelta(hours=1))(quick)


class Refusing(httpx.HTTPTransport):
    """Does not let an instance be deleted."""

    def __init__(self, instance_id: str) -> None:
        super().__init__()
        self._instance_id = instance_id

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE" and self._instance_id in request.url.path:
            return httpx.Response(500, text="not now")
        return super().handle_request(request)


class Stand:
    def __init__(self) -> None:
        self.clock = ManualClock(EPOCH)
        self._worker = DirectWorker(ostinato_azure.function_app(app))
        self.host = FunctionsHost(self._worker, clock=self.clock)
        self.client = AzureClient(self.host.url, app=app)

    def start(self, name: str, given: Any = None) -> str:
        self.client.start(name, given, instance_id=f"{name}-{given}")
        self.host.settle()
        return f"{name}-{given}"

    def forget_after(self, length: timedelta, client: AzureClient | None = None) -> int:
        self.clock.advance(length)
        return forget_expired(self.clock.now(), client or self.client, app.registry)

    def known(self) -> list[str]:
        """Ids, but for those of children."""
        found = self.client.list_instances().instances
        return sorted(status.instance_id for status in found if status.name != "child")

    def close(self) -> None:
        self.client.close()
        self.host.close()
        self._worker.close()


@pytest.fixture
def stand() -> Iterator[Stand]:
    made = Stand()
    yield made
    made.close()


def test_each_instance_is_forgotten_with_its_children_when_its_own_time_is_up(stand: Stand) -> None:
    for name in ("brief", "longer", "child"):
        stand.start(name)
    assert stand.forget_after(timedelta(minutes=59)) == 0
    assert stand.forget_after(timedelta(minutes=1)) == 2  # with its child
    assert stand.known() == ["longer-None"]
    assert stand.forget_after(timedelta(days=1)) == 1
    assert stand.known() == []
    assert stand.client.get_status("child-None").output == "child-None"  # that is for ever


def test_the_time_begins_with_the_end(stand: Stand) -> None:
    waits = stand.start("brief", 1)
    assert stand.forget_after(timedelta(days=3)) == 0
    stand.client.raise_event(waits, "end")
    stand.host.settle()
    assert stand.forget_after(timedelta(minutes=59)) == 0
    assert stand.forget_after(timedelta(minutes=1)) == 2


def test_what_one_run_leaves_is_for_the_next(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        stand.client.start("longer", instance_id=f"n{number}")
    stand.host.settle()
    with monkeypatch.context() as hurry:
        hurry.setattr(retention, "LASTS", 0.0)
        assert stand.forget_after(timedelta(days=1)) == 0
    assert stand.forget_after(timedelta(0)) == 3


def test_all_pages_are_seen_to_in_one_run(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAGE", 2)
    for number in range(7):
        stand.client.start("longer" if number % 3 else "child", instance_id=f"n{number}")
    stand.host.settle()
    assert stand.forget_after(timedelta(days=1)) == 4
    assert stand.client.get_status("n6").name == "child"


def test_inputs_are_read_only_where_a_version_must_be_told(stand: Stand) -> None:
    asked: list[str] = []

    class Noting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request.url.params.get("showInput", "true"))
            return super().handle_request(request)

    alike = ost.App("alike")
    alike.orchestration(purge_after=timedelta(hours=1))(quick)
    for application in (alike, app):
        with closing(AzureClient(stand.host.url, transport=Noting())) as client:
            forget_expired(stand.clock.now(), client, application.registry)
    assert asked == ["false", "true"]


def test_where_the_version_is_not_told_the_longest_time_holds(stand: Stand) -> None:
    raw = AzureClient(stand.host.url)  # which knows no versions
    for name in ("brief_or_not", "brief_or_longer"):
        raw.start(name, instance_id=name)
        raw.start(name, instance_id=f"{name}-2", version="2")
    raw.close()
    stand.host.settle()
    assert stand.forget_after(timedelta(hours=1)) == 2
    assert stand.known() == ["brief_or_longer", "brief_or_not"]
    assert stand.forget_after(timedelta(days=1)) == 1
    assert stand.known() == ["brief_or_not"]


def test_one_that_cannot_be_forgotten_keeps_no_other_from_it(
    stand: Stand,
) -> None:
    ids = [stand.start("longer", number) for number in range(3)]
    client = AzureClient(stand.host.url, app=app, transport=Refusing(ids[0]))
    with closing(client), pytest.raises(ost.OstinatoError, match="500"):
        stand.forget_after(timedelta(days=1), client)
    assert stand.known() == [ids[0]]


def test_only_an_app_that_forgets_has_the_timer() -> None:
    for_ever = ost.App("for_ever")
    for_ever.orchestration(child)
    assert least_time(for_ever.registry) is None
    assert least_time(app.registry) == timedelta(hours=1)
    for application, has_timer in ((for_ever, False), (app, True)):
        functions = ostinato_azure.function_app(application).get_functions()
        names = [function.get_function_name() for function in functions]
        assert ("ostinato_purge" in names) == has_timer

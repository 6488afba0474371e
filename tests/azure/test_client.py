"""The client of a function app, on the stand-in of its host."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

import ostinato as ost
import ostinato_azure
from ostinato import events as ev
from ostinato.client import Query, RuntimeStatus, Start, pages
from ostinato.events import Parent
from ostinato.testing import ManualClock, replay_history
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure import client as azure_client
from ostinato_azure.client import AzureClient
from ostinato_azure.webhook import AzureError
from tests.conformance.harness import EPOCH

PATIENCE = 30.0
broken = threading.Event()
"""While it is set, activities fail."""


def application() -> ost.App:
    app = ost.App("client")

    @app.activity
    def double(number: int) -> int:
        if broken.is_set():
            raise ValueError("not today")
        return 2 * number

    @app.orchestration
    def job(ctx: ost.OrchestrationContext, number: int):
        ctx.set_custom_status({"at": "work"})
        return (yield ctx.call_activity(double, number))

    @app.orchestration
    def tolerant(ctx: ost.OrchestrationContext):
        with suppress(ValueError):
            yield ctx.call_activity(double, 1)
        return (yield ctx.call_activity(double, 2))

    @app.orchestration
    def renaming(ctx: ost.OrchestrationContext):
        try:
            return (yield ctx.call_activity(double, 1))
        except ValueError:
            raise RuntimeError("given up") from None

    @app.orchestration
    def cleaning(ctx: ost.OrchestrationContext):
        try:
            return (yield ctx.call_activity(double, 1))
        finally:
            yield ctx.create_timer(timedelta(0))

    @app.orchestration
    def retrying(ctx: ost.OrchestrationContext):
        twice = ost.RetryPolicy(max_attempts=2, first_delay=0)
        return (yield ctx.call_activity(double, 1, retry=twice))

    @app.orchestration
    def two_at_a_time(ctx: ost.OrchestrationContext):
        return (yield ctx.map(double, [1, 2, 3, 4], max_concurrency=2))

    @app.orchestration
    def fan_out(ctx: ost.OrchestrationContext):
        return (yield ctx.task_all([ctx.call_activity(double, n) for n in range(3)]))

    @app.orchestration
    def over_tolerant(ctx: ost.OrchestrationContext):
        return (yield ctx.call_sub_orchestrator(tolerant))

    @app.orchestration
    def over_renaming(ctx: ost.OrchestrationContext):
        return (yield ctx.call_sub_orchestrator(renaming))

    @app.orchestration
    def waits(ctx: ost.OrchestrationContext, given: Any):
        return [given, (yield ctx.wait_for_external_event("go"))]

    @app.orchestration
    def once(ctx: ost.OrchestrationContext):
        first = yield ctx.wait_for_external_event("other")
        again = ctx.wait_for_external_event("other")
        go = ctx.wait_for_external_event("go")
        winner = yield ctx.task_any([again, go])
        return [first, winner is go]

    @app.orchestration
    def parent(ctx: ost.OrchestrationContext, depth: int):
        below = parent if depth else waits
        child = ctx.call_sub_orchestrator(below, depth - 1, instance_id=f"{ctx.instance_id}-c")
        return (yield child)

    @app.orchestration
    def varied(ctx: ost.OrchestrationContext):
        assert ctx.patched("first")
        timer = ctx.create_timer(timedelta(hours=1))
        doubled = yield ctx.call_activity(double, 4)
        event = yield ctx.wait_for_external_event("go")
        child = yield ctx.call_sub_orchestrator(job, 5)
        yield timer
        return [doubled, event, child]

    @app.orchestration(version="1")
    def versioned(ctx: ost.OrchestrationContext):
        return "old"
        yield

    @app.orchestration(name="versioned", version="2")
    def versioned_2(ctx: ost.OrchestrationContext):
        return "new"
        yield

    @app.orchestration
    def over(ctx: ost.OrchestrationContext, child_id: str):
        return (yield ctx.call_sub_orchestrator(job, 1, instance_id=child_id))

    @app.orchestration
    def beside(ctx: ost.OrchestrationContext):
        child = ctx.call_sub_orchestrator(waits, 1)
        return [(yield ctx.call_activity(double, 1)), (yield child)]

    @app.orchestration
    def above(ctx: ost.OrchestrationContext):
        return (yield ctx.call_sub_orchestrator(beside))

    @app.orchestration
    def lingers(ctx: ost.OrchestrationContext, child_id: str):
        yield ctx.call_sub_orchestrator(job, 1, instance_id=child_id)
        yield ctx.wait_for_external_event("go")

    _ = (
        over,
        above,
        lingers,
        once,
        tolerant,
        fan_out,
        over_tolerant,
        over_renaming,
        cleaning,
        two_at_a_time,
        parent,
        varied,
        versioned,
        versioned_2,
    )
    return app


class Stand:
    """The host and a client that has the application."""

    def __init__(self, *, grpc: bool) -> None:
        broken.clear()
        self.app = application()
        self._worker = DirectWorker(ostinato_azure.function_app(self.app, grpc=grpc))
        self.clock = ManualClock(EPOCH)
        self.host = FunctionsHost(self._worker, clock=self.clock)
        self.client = AzureClient(self.host.url, app=self.app)

    def settle(self) -> None:
        self.host.hub.settle(PATIENCE)

    def close(self) -> None:
        self.client.close()
        self.host.close()
        self._worker.close()


@pytest.fixture(params=["classic", "grpc"])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    made = Stand(grpc=request.param == "grpc")
    yield made
    made.close()


class Meanwhile(httpx.BaseTransport):
    """Carries requests, and has something happen right before the first of a kind."""

    def __init__(self, before: str, happens: Callable[[], object]) -> None:
        self._inner = httpx.HTTPTransport()
        self._before = before
        self._happens: Callable[[], object] | None = happens

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.rpartition("/durabletask/")[2]
        if self._happens is not None and f"{request.method} {path}" == self._before:
            happens, self._happens = self._happens, None
            happens()
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def client(stand: Stand) -> AzureClient:
    return stand.client


def test_a_status_has_values_as_they_were_given_and_no_envelope(client: AzureClient) -> None:
    instance_id = client.start("job", 21, tags={"team": "red"})
    status = client.wait(instance_id, PATIENCE)
    assert (status.input, status.output, status.custom_status) == (21, 42, {"at": "work"})
    assert (status.name, status.tags, status.runtime_status) == (
        "job",
        {"team": "red"},
        "Completed",
    )
    assert status.created_at.tzinfo is not None


@pytest.mark.parametrize("given", [None, 0, "5", "words", '{"a": 1}', [1, "2"], {"$ostinato": 1}])
def test_inputs_and_events_arrive_as_they_were_given(client: AzureClient, given: Any) -> None:
    instance_id = client.start("waits", given)
    client.raise_event(instance_id, "go", given)
    status = client.wait(instance_id, PATIENCE)
    assert (status.input, status.output) == (given, [given, given])


def test_what_exists_is_refused_left_alone_or_replaced(client: AzureClient) -> None:
    client.start("waits", 1, instance_id="one")
    for how in ("reject", "replace_finished"):
        with pytest.raises(ost.InstanceExistsError, match="'one' exists already"):
            client.start("job", 2, instance_id="one", if_exists=how)
    assert client.start("job", 2, instance_id="one", if_exists="attach") == "one"
    client.raise_event("one", "go")
    assert client.wait("one", PATIENCE).output == [1, None]
    client.start("job", 2, instance_id="one", if_exists="replace_finished")
    assert client.wait("one", PATIENCE).output == 4


def test_nothing_is_started_where_one_of_several_is_wrong(client: AzureClient) -> None:
    starts = [Start(name="job", input=1, instance_id="good"), Start(name="jop", input=1)]
    with pytest.raises(ost.UnknownNameError, match="'jop' is not in the application"):
        client.start_many(starts)
    with pytest.raises(ost.CodecError, match="input of orchestration 'job'"):
        client.start_many([starts[0], Start(name="job", input="one")])
    with pytest.raises(ost.InvalidInstanceIdError):
        client.start_many([starts[0], Start(name="job", input=1, instance_id="a/b")])
    with pytest.raises(ost.InstanceNotFoundError, match="no instance 'good'"):
        client.get_status("good")


def test_a_start_may_name_a_version_and_gets_the_last_one_otherwise(client: AzureClient) -> None:
    told = client.wait(client.start("versioned", version="1"), PATIENCE)
    assert (told.output, told.version) == ("old", "1")
    untold = client.wait(client.start("versioned"), PATIENCE)
    assert (untold.output, untold.version) == ("new", "2")
    again = client.wait(client.restart(told.instance_id), PATIENCE)
    assert (again.output, again.version) == ("new", "2")


def test_a_start_may_be_put_off(stand: Stand) -> None:
    instance_id = stand.client.start("job", 1, start_at=EPOCH + timedelta(days=10))
    stand.settle()
    assert not stand.client.get_status(instance_id).runtime_status.is_finished
    stand.clock.advance_to(EPOCH + timedelta(days=9))
    stand.settle()
    assert not stand.client.get_status(instance_id).runtime_status.is_finished
    stand.clock.advance_to(EPOCH + timedelta(days=11))
    assert stand.client.wait(instance_id, PATIENCE).output == 2


def test_a_failed_instance_tells_type_message_and_traceback(client: AzureClient) -> None:
    broken.set()
    status = client.wait(client.start("job", 1), PATIENCE)
    assert status.runtime_status is RuntimeStatus.FAILED
    assert status.output is None
    assert status.failure is not None
    assert (status.failure.type, status.failure.message) == ("ValueError", "not today")
    assert "not today" in status.failure.traceback
    assert status.failure.cause is not None
    assert status.failure.cause.task == "double"


def test_waiting_ends_when_time_is_up_and_the_instance_goes_on(client: AzureClient) -> None:
    instance_id = client.start("waits")
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.01 s"):
        client.wait(instance_id, 0.01)
    client.raise_event(instance_id, "go", 1)
    assert client.wait(instance_id, PATIENCE).output == [None, 1]


def test_waiting_waits_for_no_answer_longer_than_for_the_end() -> None:
    given: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        given.append(request.extensions["timeout"]["read"])
        return httpx.Response(202, json={"instanceId": "one", "runtimeStatus": "Running"})

    client = AzureClient("https://app.example", transport=httpx.MockTransport(answer))
    with pytest.raises(TimeoutError):
        client.wait("one", 0.01)
    client.close()
    assert set(given) == {1.0}  # an app that is up has the time to say so


def test_an_event_with_an_id_is_taken_once(client: AzureClient) -> None:
    instance_id = client.start("once")
    for value in (1, 2):
        client.raise_event(instance_id, "other", value, event_id="same")
    client.raise_event(instance_id, "go", event_id="another")
    assert client.wait(instance_id, PATIENCE).output == [1, True]


def test_verbs_on_an_instance_that_has_ended_or_never_was(client: AzureClient) -> None:
    done = client.start("job", 1)
    client.wait(done, PATIENCE)
    for ended in (
        lambda: client.raise_event(done, "go"),
        lambda: client.terminate(done),
        lambda: client.suspend(done),
        lambda: client.resume(done),
    ):
        with pytest.raises(ost.InstanceFinishedError, match=f"'{done}' has ended"):
            ended()
    for unknown in (
        lambda: client.get_status("nowhere"),
        lambda: client.wait("nowhere"),
        lambda: client.raise_event("nowhere", "go"),
        lambda: client.terminate("nowhere"),
        lambda: client.suspend("nowhere"),
        lambda: client.resume("nowhere"),
        lambda: client.rewind("nowhere"),
        lambda: client.restart("nowhere"),
        lambda: client.purge("nowhere"),
        lambda: client.get_history("nowhere"),
    ):
        with pytest.raises(ost.InstanceNotFoundError, match="no instance 'nowhere'"):
            unknown()


def test_terminating_ends_children_and_theirs(client: AzureClient, stand: Stand) -> None:
    client.start("parent", 1, instance_id="boss")
    stand.settle()
    client.terminate("boss", "cancelled by Ada")
    status = client.wait("boss", PATIENCE)
    assert (status.runtime_status, status.output) == ("Terminated", "cancelled by Ada")
    assert status.failure is None
    for child in ("boss-c", "boss-c-c"):
        ended = client.wait(child, PATIENCE)
        assert (ended.runtime_status, ended.output) == ("Terminated", "parent ended")
    assert client.get_status("boss-c").parent is not None


def test_terminating_without_cascade_leaves_children(client: AzureClient, stand: Stand) -> None:
    client.start("parent", 0, instance_id="boss")
    stand.settle()
    client.terminate("boss", cascade=False)
    assert client.wait("boss", PATIENCE).runtime_status == "Terminated"
    assert client.get_status("boss-c").runtime_status == "Running"


def test_suspending_and_resuming_take_effect_in_the_order_asked_for(client: AzureClient) -> None:
    instance_id = client.start("waits")
    for _ in range(3):
        client.suspend(instance_id, "maintenance")
        client.suspend(instance_id, "again")
        assert client.get_status(instance_id).runtime_status == "Suspended"
        client.resume(instance_id)
        client.resume(instance_id)
        assert client.get_status(instance_id).runtime_status == "Running"


def test_a_failed_instance_is_rewound(client: AzureClient) -> None:
    broken.set()
    instance_id = client.start("job", 1)
    client.wait(instance_id, PATIENCE)
    broken.clear()
    client.rewind(instance_id, "mended")
    assert client.wait(instance_id, PATIENCE).output == 2
    with pytest.raises(ost.NotRewindableError, match="is Completed"):
        client.rewind(instance_id)


@pytest.mark.parametrize(
    ("name", "output"), [("fan_out", [0, 2, 4]), ("renaming", 2), ("over_renaming", 2)]
)
def test_an_instance_is_rewound_whose_failures_all_ended_it(
    client: AzureClient, name: str, output: Any
) -> None:
    broken.set()
    instance_id = client.start(name)
    client.wait(instance_id, PATIENCE)
    broken.clear()
    client.rewind(instance_id, "mended")
    assert client.wait(instance_id, PATIENCE).output == output


@pytest.mark.parametrize(
    "name", ["tolerant", "over_tolerant", "cleaning", "retrying", "two_at_a_time"]
)
def test_an_instance_that_handled_failures_is_not_rewound(client: AzureClient, name: str) -> None:
    broken.set()
    instance_id = client.start(name)
    client.wait(instance_id, PATIENCE)
    with pytest.raises(ost.NotRewindableError) as caught:
        client.rewind(instance_id)
    who = "its child '[^']+'" if name == "over_tolerant" else "it"
    assert re.fullmatch(
        f"instance '{instance_id}' cannot be rewound: {who} handled failures before it failed, "
        "retried one or went on after one, or its end ended children that still ran, and Azure's "
        f"rewind would not bring that back as it was; restart '{instance_id}' instead",
        str(caught.value),
    )
    assert client.get_status(instance_id).runtime_status == "Failed"


@pytest.mark.parametrize(("name", "who"), [("beside", "it"), ("above", "its child '[^']+'")])
def test_an_instance_whose_end_ended_children_is_not_rewound(
    client: AzureClient, name: str, who: str
) -> None:
    broken.set()
    instance_id = client.start(name)
    client.wait(instance_id, PATIENCE)
    with pytest.raises(ost.NotRewindableError, match=f"{who} .* ended children that still ran"):
        client.rewind(instance_id)


@pytest.mark.parametrize("how", ["is gone", "is Terminated"])
def test_an_instance_is_not_rewound_without_the_child_that_it_failed_with(
    stand: Stand, how: str
) -> None:
    client = stand.client
    broken.set()
    started = {"is gone": ("over", "a-child"), "is Terminated": ("parent", 0)}
    instance_id = client.start(*started[how], instance_id="one")
    if how == "is gone":
        client.wait(instance_id, PATIENCE)
        client.purge("a-child")
    else:
        stand.settle()
        client.terminate("one-c", "by hand")
        client.wait(instance_id, PATIENCE)
    with pytest.raises(ost.NotRewindableError, match=f"with its child '.*', which {how}"):
        client.rewind(instance_id)
    assert client.get_status(instance_id).runtime_status == "Failed"


@pytest.mark.parametrize("late", ["one-c", "one-c-c"])
def test_a_child_that_appears_only_when_its_parent_is_ended_is_ended_too(
    stand: Stand, late: str
) -> None:
    stand.host.hub.hold(late)
    stand.client.start("parent", 1, instance_id="one")
    stand.settle()
    ending = threading.Thread(target=stand.client.terminate, args=("one", "enough"))
    ending.start()
    stand.client.wait(late.removesuffix("-c"), PATIENCE)
    with pytest.raises(ost.InstanceNotFoundError):
        stand.client.get_status(late)
    stand.host.hub.release(late)
    ending.join()
    assert stand.client.wait(late, PATIENCE).output == "parent ended"


def test_a_child_that_does_not_appear_when_its_parents_are_ended_is_told(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_client, "APPEARS_IN", 0.1)
    stand.host.hub.hold("one-c-c")
    stand.client.start("parent", 1, instance_id="one")
    stand.settle()
    with pytest.raises(ost.InstanceNotFoundError, match="one-c-c"):
        stand.client.terminate("one", "enough")
    assert stand.client.get_status("one-c").runtime_status == "Terminated"


def test_a_history_that_azure_tells_is_refused_by_the_replayer(client: AzureClient) -> None:
    client.start("job", 4, instance_id="one")
    client.wait("one", PATIENCE)
    with pytest.raises(ValueError, match="history of 'one' has no ids, turns and inputs"):
        replay_history(application(), client.get_history("one"))


def test_restarting_gives_the_input_and_the_tags_again(client: AzureClient) -> None:
    client.start("job", 4, instance_id="one", tags={"team": "red"})
    client.wait("one", PATIENCE)
    new = client.wait(client.restart("one"), PATIENCE)
    assert (new.input, new.output, new.tags) == (4, 8, {"team": "red"})
    assert client.restart("one", new_instance_id="two") == "two"
    assert client.restart("one", new_instance_id=False) == "one"
    assert client.wait("one", PATIENCE).output == 8
    client.start("waits", instance_id="busy")
    with pytest.raises(ost.InstanceExistsError, match="'busy'"):
        client.restart("busy", new_instance_id=False)
    with pytest.raises(TypeError, match="new_instance_id"):
        client.restart("one", new_instance_id=3)  # type: ignore[arg-type]


def test_purging_forgets_finished_children_too(client: AzureClient, stand: Stand) -> None:
    client.start("parent", 1, instance_id="boss")
    stand.settle()
    with pytest.raises(ost.InstanceExistsError, match="'boss' is Running"):
        client.purge("boss")
    client.terminate("boss")
    client.wait("boss-c-c", PATIENCE)
    assert client.purge("boss") == 3
    assert client.list_instances().instances == []


def test_many_are_purged_page_by_page_and_unfinished_ones_stay(client: AzureClient) -> None:
    ids = client.start_many(Start(name="job", input=n, tags={"team": "blue"}) for n in range(5))
    for instance_id in ids:
        client.wait(instance_id, PATIENCE)
    client.start("waits", instance_id="busy", tags={"team": "blue"})
    client.wait(client.start("job", 1, instance_id="red", tags={"team": "red"}), PATIENCE)
    assert client.purge_many(Query(tags={"team": "blue"}, page_size=2)) == 5
    assert {s.instance_id for s in client.list_instances().instances} == {"busy", "red"}


def test_purging_leaves_the_children_of_what_has_not_ended(
    client: AzureClient, stand: Stand
) -> None:
    client.start("lingers", "done", instance_id="one")
    stand.settle()
    with pytest.raises(ost.InstanceExistsError, match="'one' is Running: it can be forgotten when"):
        client.purge("one")
    assert client.get_status("done").output == 2


def test_purging_leaves_a_childs_id_that_is_anothers_by_now(
    client: AzureClient, stand: Stand
) -> None:
    for parent, child in (("one", "daily"), ("two", "weekly"), ("three", "weekly")):
        client.wait(client.start("over", child, instance_id=parent), PATIENCE)
    stand.clock.advance(timedelta(hours=1))
    client.start("job", 5, instance_id="daily", if_exists="replace_finished")
    assert client.wait("daily", PATIENCE).output == 10
    assert (client.purge("one"), client.purge("two")) == (1, 1)
    assert client.get_status("daily").output == 10
    assert client.get_status("weekly").parent == Parent("three", "", -1)
    assert client.purge("three") == 2


def _replace(client: AzureClient) -> None:
    client.start("waits", instance_id="b", if_exists="replace_finished")


def _replace_and_wait(client: AzureClient) -> None:
    client.start("job", 2, instance_id="b", if_exists="replace_finished")
    client.wait("b", PATIENCE)


def _rewind_and_wait(client: AzureClient) -> None:
    client.rewind("b")
    client.wait("b", PATIENCE)


@pytest.mark.parametrize(
    ("happens", "then"),
    [
        (_replace, {"Pending", "Running"}),
        (_replace_and_wait, {"Completed"}),
        (_rewind_and_wait, {"Completed"}),
    ],
)
def test_what_goes_on_or_is_replaced_while_many_are_purged_is_passed_over(
    client: AzureClient, stand: Stand, happens: Callable[[AzureClient], object], then: set[str]
) -> None:
    broken.set()
    for instance_id in ("a", "b", "c"):
        client.wait(client.start("job", 1, instance_id=instance_id), PATIENCE)
    broken.clear()
    stand.clock.advance(timedelta(hours=1))
    way = Meanwhile("GET instances/b", lambda: happens(client))
    with closing(AzureClient(stand.host.url, app=stand.app, transport=way)) as purging:
        assert purging.purge_many(Query(status="Failed")) == 2
    (left,) = client.list_instances().instances
    assert left.instance_id == "b"
    assert left.runtime_status in then


@pytest.fixture
def replaced(stand: Stand) -> Iterator[AzureClient]:
    """A client that forgets children while their parent, which has ended, is replaced."""
    client = stand.client
    client.wait(client.start("over", "a-child", instance_id="one"), PATIENCE)

    def replace() -> None:
        client.start("waits", instance_id="one", if_exists="replace_finished")
        stand.settle()

    way = Meanwhile("DELETE instances/a-child", replace)
    with closing(AzureClient(stand.host.url, app=stand.app, transport=way)) as purging:
        yield purging


def test_an_instance_that_is_replaced_while_its_children_are_purged_stays(
    client: AzureClient, replaced: AzureClient
) -> None:
    with pytest.raises(ost.InstanceExistsError, match="'one' is Running"):
        replaced.purge("one")
    assert [s.instance_id for s in client.list_instances().instances] == ["one"]


def test_what_is_forgotten_is_counted_where_its_parent_stays(
    client: AzureClient, replaced: AzureClient
) -> None:
    assert replaced.purge_many(Query(prefix="o")) == 1
    assert [s.instance_id for s in client.list_instances().instances] == ["one"]


def test_instances_are_listed_by_status_time_prefix_tags_and_page(
    client: AzureClient, stand: Stand
) -> None:
    for number, team in enumerate(["red", "blue", "red"]):
        client.start("job", number, instance_id=f"a{number}", tags={"team": team})
        client.wait(f"a{number}", PATIENCE)
        stand.clock.advance(timedelta(hours=1))
    client.start("waits", instance_id="b0")

    def found(**conditions: Any) -> set[str]:
        listed = pages(client.list_instances, Query(page_size=2, **conditions))
        return {status.instance_id for page in listed for status in page.instances}

    assert found() == {"a0", "a1", "a2", "b0"}
    assert found(status="Completed") == {"a0", "a1", "a2"}
    assert found(status=["Running", "Failed"]) == {"b0"}
    assert found(prefix="a", tags={"team": "red"}) == {"a0", "a2"}
    assert found(created_from=EPOCH + timedelta(hours=1)) == {"a1", "a2", "b0"}
    assert found(created_to=EPOCH + timedelta(minutes=1)) == {"a0"}
    with pytest.raises(ValueError, match="page_size"):
        client.list_instances(Query(page_size=0))


def test_a_history_tells_what_happened_in_order(stand: Stand) -> None:
    client = stand.client
    client.start("varied", instance_id="one", tags={"team": "red"})
    stand.settle()
    client.suspend("one", "lunch")
    client.resume("one", "back")
    client.raise_event("one", "go", {"a": 1}, event_id="e1")
    stand.settle()
    stand.clock.advance(timedelta(hours=1))
    client.wait("one", PATIENCE)
    history = client.get_history("one")
    assert [event.at for event in history] == sorted(event.at for event in history)
    started, ended = history[0], history[-1]
    assert isinstance(started, ev.ExecutionStarted)
    assert (started.name, started.tags, started.instance_id) == ("varied", {"team": "red"}, "one")
    assert isinstance(ended, ev.ExecutionCompleted)
    assert ended.result == '[8,{"a":1},10]'
    (raised,) = [event for event in history if isinstance(event, ev.EventRaised)]
    assert (raised.name, raised.data, raised.event_id) == ("go", '{"a":1}', "e1")
    (created,) = [e for e in history if isinstance(e, ev.SubOrchestrationInstanceCreated)]
    (came,) = [e for e in history if isinstance(e, ev.SubOrchestrationInstanceCompleted)]
    assert (created.name, came.task_id, came.result) == ("job", created.task_id, "10")
    (set_,) = [event for event in history if isinstance(event, ev.TimerCreated)]
    (fired,) = [event for event in history if isinstance(event, ev.TimerFired)]
    assert (fired.task_id, fired.due) == (set_.task_id, set_.due)
    assert [e.name for e in history if isinstance(e, ev.TaskScheduled)] == ["double"]


def test_names_and_ids_with_signs_reach_what_they_name() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return httpx.Response(202)

    client = AzureClient("https://app.example", transport=httpx.MockTransport(answer))
    client.raise_event("a:b@c", "go/on?#ü")
    client.close()
    assert asked == [
        "/runtime/webhooks/durabletask/instances/a%3Ab%40c/raiseEvent/go%2Fon%3F%23%C3%BC"
    ]


@pytest.mark.parametrize(
    "verb", [AzureClient.terminate, AzureClient.suspend, AzureClient.resume, AzureClient.rewind]
)
def test_a_reason_that_no_url_can_hold_is_refused_before_anything_is_asked(
    verb: Callable[[AzureClient, str, str], None],
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(202)

    client = AzureClient("https://app.example", transport=httpx.MockTransport(answer))
    for reason in ("x" * 6_001, "é" * 1_001):
        with pytest.raises(
            ost.PayloadTooLargeError, match=r"6,0\d\d? ?.*bytes long as part of a URL"
        ):
            verb(client, "one", reason)
    client.close()
    assert asked == []


@pytest.mark.parametrize("reason", ["x" * 6_000, "é" * 1_000])
def test_the_longest_reason_is_kept_whole(client: AzureClient, stand: Stand, reason: str) -> None:
    client.start("waits", instance_id="one")
    client.terminate("one", reason)
    assert client.wait("one", PATIENCE).output == reason


def test_a_name_of_an_event_that_no_url_can_hold_is_an_error_that_names_the_app(
    client: AzureClient,
) -> None:
    client.start("waits", instance_id="one")
    with pytest.raises(AzureError, match=r"http://127\.0\.0\.1:.* cannot be asked for that"):
        client.raise_event("one", "x" * 70_000)


def test_without_the_application_any_name_is_taken_and_an_unknown_one_fails(stand: Stand) -> None:
    client = AzureClient(stand.host.url)
    try:
        assert client.wait(client.start("job", 3), PATIENCE).output == 6
        failed = client.wait(client.start("nowhere"), PATIENCE)
        assert failed.runtime_status == "Failed"
        assert failed.failure is not None
    finally:
        client.close()


def test_a_delay_is_counted_from_now(stand: Stand) -> None:
    before = datetime.now(UTC)
    instance_id = stand.client.start("job", 1, start_at=timedelta(days=1))
    listed = httpx.get(f"{stand.host.url}/runtime/webhooks/durabletask/instances/{instance_id}")
    at = datetime.fromisoformat(json.loads(listed.json()["input"])["start_at"])
    assert at - before >= timedelta(days=1)

"""Answers that get lost on their way: what was asked for is done once, or the error says that it
may have been done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import httpx
import pytest

import ostinato as ost
import ostinato_azure
from ostinato.client import Query, RuntimeStatus
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure.client import AzureClient
from ostinato_azure.management import Management
from ostinato_azure.webhook import AzureError, UnavailableError, Webhook, place_of
from tests.conformance.harness import EPOCH

PATIENCE = 30.0
_JSON = {"Content-Type": "application/json"}


class Losing(httpx.BaseTransport):
    """Carries requests to a host, and loses answers of one kind of them.

    What is asked for has all its effects before the answer is lost, so that an instance that was
    started has ended.
    """

    def __init__(self, host: FunctionsHost, faults: list[Callable[[], httpx.Response]]) -> None:
        self._host = host
        self._inner = httpx.HTTPTransport()
        self._faults = faults
        self.verb = ""
        """Ends the path of requests whose answers are lost; none while it is empty."""
        self.asked: list[str] = []
        self.arrives = True
        self.tells_parents = True
        """Whether instances tell their parents, as they do not where Azure Storage keeps them."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.rpartition("/durabletask/")[2]
        self.asked.append(f"{request.method} {path}")
        is_meant = bool(self.verb) and f"{request.method} {path}".endswith(self.verb)
        if not (is_meant and self._faults):
            return self._told(self._inner.handle_request(request))
        if self.arrives:
            self._inner.handle_request(request).read()
            self._host.hub.settle(PATIENCE)
        return self._faults.pop(0)()

    def _told(self, answer: httpx.Response) -> httpx.Response:
        if self.tells_parents:
            return answer
        text = re.sub(rb'"parentInstanceId":"[^"]*",', b"", answer.read())
        return httpx.Response(answer.status_code, headers=_JSON, content=text)

    def close(self) -> None:
        self._inner.close()


def cut() -> httpx.Response:
    raise httpx.RemoteProtocolError("Server disconnected without sending a response.")


def late() -> httpx.Response:
    raise httpx.ReadTimeout("slow")


def gateway() -> httpx.Response:
    return httpx.Response(502)


def fault() -> httpx.Response:
    return httpx.Response(500, json={"Message": "Something went wrong"})


class Stand:
    """A function app whose answers get lost on the way to the client."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.is_broken = False
        app = ost.App("lost")

        @app.activity
        def count(number: int) -> int:
            self.ran.append(number)
            if self.is_broken:
                raise ValueError("not today")
            return number

        @app.orchestration
        def job(ctx: ost.OrchestrationContext, number: int):
            return (yield ctx.call_activity(count, number))

        @app.orchestration
        def collects(ctx: ost.OrchestrationContext):
            found: list[Any] = []
            while (event := (yield ctx.wait_for_external_event("go"))) is not None:
                found.append(event)
            return found

        @app.orchestration
        def tree(ctx: ost.OrchestrationContext, below: dict[str, Any]):
            children = [
                ctx.call_sub_orchestrator(tree, under, instance_id=child)
                for child, under in below.items()
            ]
            if children:
                yield ctx.task_all(children)
            else:
                yield ctx.wait_for_external_event("go")

        _ = job, collects, tree
        self._worker = DirectWorker(ostinato_azure.function_app(app))
        self.clock = ManualClock(EPOCH)
        self.host = FunctionsHost(self._worker, clock=self.clock)
        self.faults: list[Callable[[], httpx.Response]] = []
        self.way = Losing(self.host, self.faults)
        self.client = AzureClient(self.host.url, app=app, transport=self.way)

    def lose(self, verb: str, *faults: Callable[[], httpx.Response]) -> None:
        """Lose the next answers to requests whose method and path end so."""
        self.way.verb = verb
        self.faults[:] = faults

    def repeats(self, verb: str) -> int:
        """How many such requests were made but the first."""
        return sum(asked.endswith(verb) for asked in self.way.asked) - 1

    def close(self) -> None:
        self.client.close()
        self.host.close()
        self._worker.close()


@pytest.fixture
def stand() -> Iterator[Stand]:
    made = Stand()
    yield made
    made.close()


@pytest.fixture
def client(stand: Stand) -> AzureClient:
    return stand.client


LOST = pytest.mark.parametrize("lost", [cut, gateway])


# --- starts ---


@LOST
@pytest.mark.parametrize("options", [{}, {"instance_id": "one", "if_exists": "attach"}])
def test_a_start_that_was_taken_is_not_made_again(
    stand: Stand,
    client: AzureClient,
    lost: Callable[[], httpx.Response],
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ostinato_azure.client.uuid4", lambda: Id("new"))
    instance_id = options.get("instance_id", "new")
    stand.lose(f"orchestrators/job/{instance_id}", lost)
    assert client.start("job", 7, **options) == instance_id
    assert client.wait(instance_id, PATIENCE).output == 7
    assert stand.ran == [7]


class Id:
    """A UUID that is known."""

    def __init__(self, text: str) -> None:
        self.hex = text


@LOST
def test_a_start_of_a_detached_instance_that_was_taken_is_not_made_again(
    stand: Stand, client: AzureClient, lost: Callable[[], httpx.Response]
) -> None:
    stand.lose("orchestrators/job/one", lost)
    client.start_payload("job", "one", "7")
    assert client.wait("one", PATIENCE).output == 7
    assert stand.ran == [7]


@LOST
def test_a_start_that_never_arrived_is_made_again(
    stand: Stand, client: AzureClient, lost: Callable[[], httpx.Response]
) -> None:
    stand.lose("orchestrators/job/one", lost, lost)
    stand.way.arrives = False
    client.start("job", 7, instance_id="one", if_exists="attach")
    assert client.wait("one", PATIENCE).output == 7
    assert stand.repeats("orchestrators/job/one") == 2


@pytest.mark.parametrize("if_exists", ["reject", "replace_finished"])
@LOST
def test_a_start_that_would_replace_what_it_started_is_an_error_that_tells_the_id(
    stand: Stand, client: AzureClient, if_exists: Any, lost: Callable[[], httpx.Response]
) -> None:
    stand.lose("orchestrators/job/one", lost)
    with pytest.raises(UnavailableError, match="may have happened all the same, as instance 'one'"):
        client.start("job", 7, instance_id="one", if_exists=if_exists)
    assert client.wait("one", PATIENCE).output == 7
    assert stand.ran == [7]


@pytest.mark.parametrize("lost", [late, fault])
def test_the_id_of_an_instance_that_may_have_been_started_is_told(
    stand: Stand,
    client: AzureClient,
    lost: Callable[[], httpx.Response],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ostinato_azure.client.uuid4", lambda: Id("new"))
    stand.lose("orchestrators/job/new", lost)
    with pytest.raises(AzureError, match="may have happened all the same, as instance 'new'"):
        client.start("job", 7)
    assert client.wait("new", PATIENCE).output == 7
    assert stand.ran == [7]


def test_a_start_that_cannot_be_looked_for_is_not_made_again_and_tells_the_id(
    stand: Stand, client: AzureClient
) -> None:
    def then_nothing() -> httpx.Response:
        stand.lose("", late)
        stand.way.verb = "GET instances/one"
        return cut()

    stand.lose("orchestrators/job/one", then_nothing)
    with pytest.raises(UnavailableError, match="as instance 'one'"):
        client.start("job", 7, instance_id="one", if_exists="attach")
    assert stand.ran == [7]


def test_a_start_that_cannot_have_arrived_names_no_instance(
    stand: Stand, client: AzureClient
) -> None:
    stand.lose("orchestrators/job/one", lambda: httpx.Response(400, text="no"))
    stand.way.arrives = False
    with pytest.raises(AzureError, match=r"answered 400: no$"):
        client.start("job", 7, instance_id="one", if_exists="replace_finished")


# --- events ---


@LOST
def test_an_event_with_an_id_is_sent_again_and_taken_once(
    stand: Stand, client: AzureClient, lost: Callable[[], httpx.Response]
) -> None:
    client.start("collects", instance_id="one")
    stand.lose("raiseEvent/go", lost)
    client.raise_event("one", "go", 1, event_id="click")
    client.raise_event("one", "go", None)
    assert client.wait("one", PATIENCE).output == [1]
    assert stand.repeats("raiseEvent/go") == 2


@LOST
def test_an_event_without_an_id_is_not_sent_again(
    stand: Stand, client: AzureClient, lost: Callable[[], httpx.Response]
) -> None:
    client.start("collects", instance_id="one")
    stand.lose("raiseEvent/go", lost)
    with pytest.raises(UnavailableError, match="may have happened"):
        client.raise_event("one", "go", 1)
    client.raise_event("one", "go", None)
    assert client.wait("one", PATIENCE).output == [1]


# --- steering ---


@LOST
def test_a_rewind_is_not_asked_for_again(
    stand: Stand, client: AzureClient, lost: Callable[[], httpx.Response]
) -> None:
    stand.is_broken = True
    client.wait(client.start("job", 7, instance_id="one"), PATIENCE)
    stand.lose("instances/one/rewind", lost)
    with pytest.raises(UnavailableError, match="may have happened"):
        client.rewind("one")
    assert stand.ran == [7, 7]


@LOST
def test_a_purge_whose_answer_got_lost_counts_what_it_forgot(
    stand: Stand, client: AzureClient, lost: Callable[[], httpx.Response]
) -> None:
    client.wait(client.start("job", 7, instance_id="one"), PATIENCE)
    stand.lose("DELETE instances/one", lost)
    assert client.purge("one") == 1
    with pytest.raises(ost.InstanceNotFoundError):
        client.get_status("one")


@LOST
def test_a_termination_whose_answer_got_lost_has_taken_effect(
    stand: Stand, client: AzureClient, lost: Callable[[], httpx.Response]
) -> None:
    client.start("collects", instance_id="one")
    stand.lose("instances/one/terminate", lost)
    client.terminate("one", "enough")
    assert client.wait("one", PATIENCE).output == "enough"
    assert stand.repeats("instances/one/terminate") == 1
    with pytest.raises(ost.InstanceFinishedError):
        client.terminate("one")


@LOST
def test_holding_and_letting_go_whose_answers_got_lost_have_taken_effect(
    stand: Stand, client: AzureClient, lost: Callable[[], httpx.Response]
) -> None:
    client.start("collects", instance_id="one")
    stand.lose("instances/one/suspend", lost)
    client.suspend("one")
    assert client.runtime_status("one") is RuntimeStatus.SUSPENDED
    stand.lose("instances/one/resume", lost)
    client.resume("one")
    assert client.runtime_status("one") is RuntimeStatus.RUNNING


# --- what the app answers to what has happened already ---


class Told:
    """A management API that answers as told, request by request."""

    def __init__(self, *answers: httpx.Response) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._answers.pop(0)

    def management(self) -> Management:
        place = place_of("https://app.example", "key")
        return Management(Webhook(place, transport=self.transport, pause=lambda seconds: None))


@pytest.mark.parametrize(("verb", "again"), [("terminate", 410), ("suspend", 500), ("resume", 500)])
def test_what_is_refused_when_asked_for_again_has_happened(verb: Any, again: int) -> None:
    api = Told(httpx.Response(502), httpx.Response(again)).management()
    api.steer("one", verb, "")
    with pytest.raises((AzureError, ost.InstanceFinishedError), match=r"has ended|answered 500"):
        Told(httpx.Response(again)).management().steer("one", verb, "")


def test_an_instance_that_is_not_there_when_purged_again_was_purged() -> None:
    assert Told(httpx.Response(502), httpx.Response(404)).management().purge("one") == 1
    assert Told(httpx.Response(404)).management().purge("one") == 0


def test_children_are_looked_for_when_the_instance_has_ended() -> None:
    def status(runtime_status: str, *events: dict[str, Any]) -> httpx.Response:
        return httpx.Response(
            200,
            json={"instanceId": "one", "runtimeStatus": runtime_status, "historyEvents": events},
        )

    child = {"EventType": "SubOrchestrationInstanceCreated", "InstanceId": "child"}
    accepted = httpx.Response(202)
    app = Told(
        accepted,
        status("Running"),
        status("Running"),
        status("Terminated"),
        status("Terminated", child),
        accepted,
        status("Terminated"),
        status("Terminated"),
    )
    client = AzureClient("https://app.example", transport=app.transport)
    client.terminate("one")
    client.close()
    ended = [request.url.path.split("/")[-2] for request in app.asked if request.method == "POST"]
    assert ended == ["one", "child"]
    assert len(app.asked) == 8


# --- trees that were ended in part ---

TREE: dict[str, Any] = {"one": {}, "two": {"under": {}}, "three": {}}


@pytest.fixture
def root(stand: Stand, client: AzureClient) -> str:
    """The root of a tree whose leaves wait; requests that fail do not arrive."""
    client.start("tree", TREE, instance_id="root")
    stand.host.hub.settle(PATIENCE)
    stand.way.arrives = False
    return "root"


def running(stand: Stand) -> set[str]:
    """What still runs when all that was asked for has taken effect."""
    stand.host.hub.settle(PATIENCE)
    listed = stand.client.list_instances(Query(status="Running")).instances
    return {status.instance_id for status in listed}


@pytest.mark.parametrize("fails", [fault, late])
def test_an_error_with_one_child_does_not_keep_the_others_from_being_ended(
    stand: Stand, client: AzureClient, root: str, fails: Callable[[], httpx.Response]
) -> None:
    stand.lose("POST instances/one/terminate", fails)
    with pytest.raises(AzureError, match=r"answered 500|ReadTimeout"):
        client.terminate(root)
    assert running(stand) == {"one"}


@pytest.mark.parametrize(
    ("fails", "left"),
    [
        ("GET instances/root", {"one", "two", "three", "under"}),
        ("POST instances/one/terminate", {"one"}),
        ("POST instances/under/terminate", {"under"}),
        ("GET instances/two", {"under"}),
    ],
)
@pytest.mark.parametrize("tells_parents", [True, False])
def test_a_tree_whose_ending_broke_off_is_ended_by_terminating_its_root_again(
    stand: Stand, client: AzureClient, root: str, fails: str, left: set[str], tells_parents: bool
) -> None:
    stand.way.tells_parents = tells_parents
    stand.lose(fails, fault)
    with pytest.raises(AzureError):
        client.terminate(root, "enough")
    assert running(stand) == left
    with pytest.raises(ost.InstanceFinishedError, match="'root' has ended"):
        client.terminate(root, "again")
    assert running(stand) == set()
    assert client.get_status(root).output == "enough"


def test_an_error_while_what_was_left_is_ended_is_raised(
    stand: Stand, client: AzureClient, root: str
) -> None:
    stand.lose("POST instances/one/terminate", fault, fault)
    for _ in range(2):
        with pytest.raises(AzureError, match="answered 500"):
            client.terminate(root)
    with pytest.raises(ost.InstanceFinishedError):
        client.terminate(root)
    assert running(stand) == set()


def test_children_that_were_left_on_purpose_are_ended_when_their_parent_is_terminated_with_them(
    stand: Stand, client: AzureClient, root: str
) -> None:
    client.terminate(root, cascade=False)
    stand.host.hub.settle(PATIENCE)
    with pytest.raises(ost.InstanceFinishedError):
        client.terminate(root, cascade=False)
    assert running(stand) == {"one", "two", "three", "under"}
    with pytest.raises(ost.InstanceFinishedError):
        client.terminate(root)
    assert running(stand) == set()


@pytest.mark.parametrize("tells_parents", [True, False])
def test_a_childs_id_that_is_anothers_by_now_is_left_alone(
    stand: Stand, client: AzureClient, root: str, tells_parents: bool
) -> None:
    stand.way.tells_parents = tells_parents
    client.terminate(root)
    stand.clock.advance(timedelta(hours=1))
    client.start("collects", instance_id="one", if_exists="replace_finished")
    client.start("tree", {"two": {}}, instance_id="another")
    stand.host.hub.settle(PATIENCE)
    with pytest.raises(ost.InstanceFinishedError):
        client.terminate(root)
    assert running(stand) == {"one", "another", "two"}


@pytest.mark.parametrize("status", ["Completed", "Failed"])
def test_children_of_an_instance_that_ended_otherwise_are_left_alone(status: str) -> None:
    child = {"EventType": "SubOrchestrationInstanceCreated", "InstanceId": "child"}
    found = {"instanceId": "one", "runtimeStatus": status, "historyEvents": [child]}
    refused = Told(httpx.Response(410), httpx.Response(200, json=found))
    with (
        _client_of(refused) as client,
        pytest.raises(ost.InstanceFinishedError, match="'one' has ended"),
    ):
        client.terminate("one")
    came_first = Told(httpx.Response(202), *(httpx.Response(200, json=found) for _ in range(2)))
    with _client_of(came_first) as client:
        client.terminate("one")
    for app in (refused, came_first):
        assert [r.url.path.split("/")[-2] for r in app.asked if r.method == "POST"] == ["one"]


def _client_of(app: Told) -> closing[AzureClient]:
    return closing(AzureClient("https://app.example", transport=app.transport))


def test_an_instance_that_waits_for_a_child_of_its_own_id_is_ended_and_forgotten() -> None:
    child = {"EventType": "SubOrchestrationInstanceCreated", "InstanceId": "one"}
    found = {"instanceId": "one", "runtimeStatus": "Terminated", "historyEvents": [child]}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(410)
        deleted = {"instancesDeleted": 1}
        return httpx.Response(200, json=deleted if request.method == "DELETE" else found)

    transport = httpx.MockTransport(answer)
    with closing(AzureClient("https://app.example", transport=transport)) as client:
        with pytest.raises(ost.InstanceFinishedError):
            client.terminate("one")
        assert client.purge("one") == 1

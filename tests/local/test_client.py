"""Every verb of the client: beside the host, from elsewhere while a host runs, and while none does.

Without a host, what is accepted is done by the next host; `Place.run` sees to that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.client import Query, RuntimeStatus, Start
from ostinato.local import LocalClient, LocalHost, Store
from ostinato.local.gateway import StoreGateway
from ostinato.testing import ManualClock
from tests.local.conftest import Hub

PATIENCE = 30.0
HOUR = timedelta(hours=1)

app = ost.App("clients", payload_limit=1000)
mended: list[bool] = []


@app.activity
def breaks() -> str:
    if not mended:
        raise ValueError("broken")
    return "mended"


@app.orchestration
def echoes(ctx: ost.OrchestrationContext, given: Any):
    return given
    yield


@app.orchestration
def waits(ctx: ost.OrchestrationContext):
    ctx.set_custom_status("waiting")
    return (yield ctx.wait_for_external_event("go"))


@app.orchestration
def counts(ctx: ost.OrchestrationContext, size: int):
    return (yield ctx.task_all([ctx.wait_for_external_event("go") for _ in range(size)]))


@app.orchestration
def fails(ctx: ost.OrchestrationContext):
    return (yield ctx.call_activity(breaks))


@app.orchestration
def has_child(ctx: ost.OrchestrationContext):
    yield ctx.call_sub_orchestrator(waits, instance_id=f"{ctx.instance_id}-child")


@app.orchestration(name="versioned", version="1")
def first(ctx: ost.OrchestrationContext):
    return "1"
    yield


@app.orchestration(name="versioned", version="2")
def second(ctx: ost.OrchestrationContext):
    return "2"
    yield


class Place:
    """A hub and a client of it."""

    def __init__(self, hub: Hub, kind: str) -> None:
        self._hub = hub
        self._host: LocalHost | None = None
        self._remote: Store | None = None if kind == "beside" else hub.store()
        if kind != "alone":
            self._host = hub.open(app, poll_interval=0.01)

    @property
    def client(self) -> LocalClient:
        if self._remote is not None:
            gateway = StoreGateway(self._remote)
            return LocalClient(self._remote, gateway, self.clock, app.registry)
        assert self._host is not None
        return self._host.client

    @property
    def clock(self) -> ManualClock:
        return self._hub.clock

    def run(self) -> None:
        """Have everything done that can be."""
        host = self._host or self._hub.open(app)
        host.settle()
        if host is not self._host:
            host.close()

    def close(self) -> None:
        if self._remote is not None:
            self._remote.close()


@pytest.fixture(params=["beside", "elsewhere", "alone"])
def place(request: pytest.FixtureRequest, file_hub: Hub) -> Iterator[Place]:
    mended.clear()
    place = Place(file_hub, request.param)
    yield place
    place.close()


def test_an_instance_is_started_and_its_status_tells_all(place: Place):
    given = {"a": [1, None]}
    instance_id = place.client.start(echoes, given, instance_id="a", tags={"user": "ada"})
    assert instance_id == "a"
    place.run()
    status = place.client.get_status("a")
    assert status.name == "echoes"
    assert status.runtime_status is RuntimeStatus.COMPLETED
    assert (status.input, status.output) == (given, given)
    assert status.created_at == status.updated_at == place.clock.now()
    assert status.tags == {"user": "ada"}
    assert (status.failure, status.parent, status.custom_status) == (None, None, None)
    assert place.client.wait("a").output == given


def test_an_instance_without_an_id_gets_one_of_its_own(place: Place):
    assert place.client.start("echoes") != place.client.start("echoes")


def test_an_id_is_taken_once(place: Place):
    client = place.client
    client.start("waits", instance_id="a")
    with pytest.raises(ost.InstanceExistsError):
        client.start("waits", instance_id="a")
    with pytest.raises(ost.InstanceExistsError):
        client.start("waits", instance_id="a", if_exists="replace_finished")
    assert client.start("echoes", instance_id="a", if_exists="attach") == "a"
    client.terminate("a")
    place.run()
    with pytest.raises(ost.InstanceExistsError):
        client.start("echoes", 1, instance_id="a")
    client.start("echoes", 1, instance_id="a", if_exists="replace_finished")
    place.run()
    assert client.get_status("a").output == 1


def test_several_are_started_in_order(place: Place):
    ids = place.client.start_many([Start(name="echoes", input=n) for n in range(3)])
    place.run()
    assert [place.client.get_status(one).output for one in ids] == [0, 1, 2]
    assert place.client.start_many([]) == []


@pytest.mark.parametrize("as_duration", [True, False])
def test_a_start_can_be_put_off(place: Place, as_duration: bool):
    at = HOUR if as_duration else place.clock.now() + HOUR
    place.client.start("echoes", 7, instance_id="a", start_at=at)
    place.run()
    status = place.client.get_status("a")
    assert status.runtime_status is RuntimeStatus.PENDING
    assert status.input == 7
    place.clock.advance(HOUR)
    place.run()
    assert place.client.get_status("a").output == 7


def test_the_version_registered_last_is_started_unless_another_is_wanted(place: Place):
    place.client.start("versioned", instance_id="newest")
    place.client.start("versioned", instance_id="older", version="1")
    place.run()
    assert place.client.get_status("newest").output == "2"
    assert place.client.get_status("older").output == "1"


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        ({"name": "unknown"}, ost.UnknownNameError, "it has: .*echoes"),
        ({"name": "versioned", "version": "9"}, ost.UnknownNameError, "no version '9'"),
        ({"name": "echoes", "input": float("nan")}, ost.CodecError, "echoes"),
        ({"name": "echoes", "input": object()}, ost.CodecError, "echoes"),
        ({"name": "echoes", "input": "x" * 1000}, ost.PayloadTooLargeError, "1,000"),
        ({"name": "counts", "input": "many"}, ost.CodecError, "counts"),
        ({"name": "echoes", "instance_id": "a/b"}, ost.InvalidInstanceIdError, "a/b"),
        ({"name": "echoes", "if_exists": "perhaps"}, ValueError, "perhaps"),
        ({"name": "echoes", "tags": {"a": "\ud800"}}, ValueError, "surrogates"),
    ],
)
def test_a_start_that_cannot_be_is_refused(
    place: Place, start: dict[str, Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        place.client.start(**start)
    place.run()
    assert place.client.list_instances().instances == []


def test_waiting_ends_in_time(place: Place):
    place.client.start("waits", instance_id="a")
    with pytest.raises(TimeoutError, match=r"'a' has not ended within 0\.01 s"):
        place.client.wait("a", 0.01)


def test_events_arrive_in_order_and_one_with_an_id_once(place: Place):
    client = place.client
    client.start("counts", 4, instance_id="a")
    for data, event_id in ((1, "x"), (2, "x"), (3, None), (3, None), (5, "x"), (4, "y")):
        client.raise_event("a", "go", data, event_id=event_id)
    place.run()
    assert sorted(client.get_status("a").output) == [1, 3, 3, 4]


def test_events_that_nobody_can_take_are_refused(place: Place):
    client = place.client
    with pytest.raises(ost.InstanceNotFoundError, match="'nobody'"):
        client.raise_event("nobody", "go")
    client.start("echoes", instance_id="a")
    place.run()
    with pytest.raises(ost.InstanceFinishedError, match="Completed"):
        client.raise_event("a", "go")
    client.start("waits", instance_id="b")
    for name, data, error in (
        ("go", "x" * 1000, ost.PayloadTooLargeError),
        ("go", float("inf"), ost.CodecError),
        ("\ud800", 1, ValueError),
    ):
        with pytest.raises(error):
            client.raise_event("b", name, data)


def test_an_instance_is_terminated_with_its_children_and_says_why(place: Place):
    client = place.client
    client.start("has_child", instance_id="a")
    place.run()
    assert client.get_status("a-child").parent is not None
    client.terminate("a", "enough")
    place.run()
    status = client.get_status("a")
    assert (status.runtime_status, status.output) == (RuntimeStatus.TERMINATED, "enough")
    assert client.get_status("a-child").runtime_status is RuntimeStatus.TERMINATED
    with pytest.raises(ost.InstanceFinishedError):
        client.terminate("a")


def test_an_instance_is_terminated_without_its_children_when_wanted(place: Place):
    client = place.client
    client.start("has_child", instance_id="a")
    place.run()
    client.terminate("a", cascade=False)
    place.run()
    assert client.get_status("a-child").runtime_status is RuntimeStatus.RUNNING
    client.terminate("a-child")
    place.run()


def test_a_suspended_instance_holds_its_events_until_it_is_resumed(place: Place):
    client = place.client
    client.start("waits", instance_id="a")
    client.suspend("a", "later")
    client.raise_event("a", "go", 1)
    place.run()
    assert client.get_status("a").runtime_status is RuntimeStatus.SUSPENDED
    client.resume("a")
    place.run()
    assert client.get_status("a").output == 1


def test_a_failed_instance_is_rewound(place: Place):
    client = place.client
    client.start("fails", instance_id="a")
    place.run()
    status = client.get_status("a")
    assert status.runtime_status is RuntimeStatus.FAILED
    assert status.failure is not None
    assert (status.failure.type, status.failure.message) == ("ValueError", "broken")
    mended.append(True)
    client.rewind("a", "mended")
    place.run()
    assert client.get_status("a").output == "mended"
    with pytest.raises(ost.NotRewindableError, match="Completed"):
        client.rewind("a")


def test_an_instance_is_restarted_under_a_new_or_a_given_id_or_its_own(place: Place):
    client = place.client
    client.start("echoes", 7, instance_id="a", tags={"user": "ada"})
    place.run()
    before = client.get_status("a").execution_id
    ids = [client.restart("a", new_instance_id=new) for new in (True, "b", False)]
    assert ids[1:] == ["b", "a"]
    assert ids[0] not in ("a", "b")
    place.run()
    for instance_id in ids:
        status = client.get_status(instance_id)
        assert (status.output, status.tags) == (7, {"user": "ada"})
        assert status.execution_id != before


def test_an_unfinished_instance_is_not_replaced_by_a_restart(place: Place):
    place.client.start("waits", instance_id="a")
    with pytest.raises(ost.InstanceExistsError):
        place.client.restart("a", new_instance_id=False)


def test_a_finished_instance_is_purged_with_its_children(place: Place):
    client = place.client
    client.start("has_child", instance_id="a")
    place.run()
    with pytest.raises(ost.InstanceExistsError, match="terminate"):
        client.purge("a")
    client.terminate("a")
    place.run()
    assert client.purge("a") == 2
    for instance_id in ("a", "a-child"):
        with pytest.raises(ost.InstanceNotFoundError):
            client.get_status(instance_id)


def test_of_many_only_the_finished_are_purged(place: Place):
    client = place.client
    client.start_many([Start(name="echoes", instance_id=f"e{n}") for n in range(5)])
    client.start("waits", instance_id="w")
    place.run()
    assert client.purge_many(Query(prefix="e", page_size=2)) == 5
    assert client.purge_many(Query()) == 0
    assert [one.instance_id for one in client.list_instances().instances] == ["w"]


def test_instances_are_listed_by_page_and_condition(place: Place):
    client = place.client
    for n in range(5):
        client.start("waits", instance_id=f"w{n}", tags={"odd": str(n % 2)})
        place.clock.advance(1)
    client.start("echoes", instance_id="e")
    place.run()
    running = Query(status=(RuntimeStatus.RUNNING,), page_size=3)
    page = client.list_instances(running)
    assert [one.instance_id for one in page.instances] == ["w4", "w3", "w2"]
    rest = client.list_instances(Query(status=running.status, page_size=3, page=page.next_page))
    assert [one.instance_id for one in rest.instances] == ["w1", "w0"]
    assert rest.next_page is None
    odd = client.list_instances(Query(tags={"odd": "1"}))
    assert [one.instance_id for one in odd.instances] == ["w3", "w1"]
    assert all(one.custom_status == "waiting" for one in odd.instances)


def test_the_history_of_an_instance_is_read(place: Place):
    place.client.start("echoes", 7, instance_id="a")
    place.run()
    history = place.client.get_history("a")
    assert [type(event) for event in history] == [
        ev.OrchestratorStarted,
        ev.ExecutionStarted,
        ev.ExecutionCompleted,
    ]


VERBS: list[Callable[[LocalClient], object]] = [
    lambda c: c.get_status("nobody"),
    lambda c: c.wait("nobody"),
    lambda c: c.raise_event("nobody", "go"),
    lambda c: c.terminate("nobody"),
    lambda c: c.suspend("nobody"),
    lambda c: c.resume("nobody"),
    lambda c: c.rewind("nobody"),
    lambda c: c.restart("nobody"),
    lambda c: c.purge("nobody"),
    lambda c: c.get_history("nobody"),
]


@pytest.mark.parametrize("number", range(len(VERBS)))
def test_every_verb_says_that_there_is_no_such_instance(place: Place, number: int):
    with pytest.raises(ost.InstanceNotFoundError, match="'nobody'"):
        VERBS[number](place.client)


ELSEWHERE = """
import json, sys, ostinato as ost
with ost.local.connect(sys.argv[1]) as hub:
    client = hub.client
    client.start("waits", instance_id="theirs")
    client.raise_event("theirs", "go", "from there")
    client.raise_event("ours", "go", "from there")
    outputs = [client.wait(one, 30).output for one in ("theirs", "ours")]
    try:
        client.raise_event("ours", "go")
    except ost.InstanceFinishedError:
        outputs.append("finished")
print(json.dumps(outputs))
"""


def test_another_process_starts_sends_and_waits(file_hub: Hub):
    host = file_hub.open(app, poll_interval=0.01)
    host.client.start("waits", instance_id="ours")
    assert file_hub.path is not None
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(file_hub.path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout) == ["from there", "from there", "finished"]


def test_without_an_application_an_unknown_name_fails_its_instance(file_hub: Hub):
    host = file_hub.open(app, poll_interval=0.01)
    assert file_hub.path is not None
    with ost.local.connect(file_hub.path) as hub:
        instance_id = hub.client.start("unknown")
        failure = host.client.wait(instance_id, PATIENCE).failure
    assert failure is not None
    assert failure.type == "UnknownNameError"


def test_children_that_run_outlive_the_purge_of_their_parent(place: Place):
    client = place.client
    client.start("has_child", instance_id="a")
    place.run()
    client.terminate("a", cascade=False)
    place.run()
    assert client.purge("a") == 1
    place.run()
    assert client.get_status("a-child").runtime_status is RuntimeStatus.RUNNING
    client.raise_event("a-child", "go", 1)
    place.run()
    assert client.get_status("a-child").output == 1


ODD_STARTS: list[dict[str, Any]] = [
    {"name": 5},
    {"name": "waits", "tags": {"n": 1}},
    {"name": "waits", "tags": {1: "n"}},
    {"name": "waits", "tags": ["n"]},
    {"name": "waits", "version": 2},
    {"name": "waits", "start_at": "tomorrow"},
    {"name": "waits", "start_at": 60},
    {"name": "waits", "instance_id": 5},
]

ODD_CALLS: list[Callable[[Any], object]] = [
    lambda c: c.raise_event("a", None),
    lambda c: c.raise_event("a", 5),
    lambda c: c.raise_event("a", ""),
    lambda c: c.raise_event("a", "\ud800"),
    lambda c: c.raise_event("a", "go", event_id=5),
    lambda c: c.raise_event("a", "go", event_id="\ud800"),
    *(
        lambda c, verb=verb, reason=reason: getattr(c, verb)("a", reason)
        for verb in ("terminate", "suspend", "resume", "rewind")
        for reason in (None, 5, "\ud800")
    ),
]


def test_arguments_of_the_wrong_type_are_refused_and_nothing_is_written(place: Place):
    client = place.client
    client.start("waits", instance_id="a")
    place.run()
    before = client.get_history("a")
    for given in ODD_STARTS:
        with pytest.raises((TypeError, ValueError, ost.UnknownNameError)):
            client.start(**given)
        with pytest.raises((TypeError, ValueError, ost.UnknownNameError)):
            client.start_many([Start(name="waits"), Start(**given)])
    for call in ODD_CALLS:
        with pytest.raises((TypeError, ValueError)):
            call(client)
    place.run()
    assert [one.instance_id for one in client.list_instances().instances] == ["a"]
    assert client.get_history("a") == before


def test_without_an_application_arguments_are_checked_all_the_same(file_hub: Hub):
    file_hub.open(app).close()
    assert file_hub.path is not None
    with ost.local.connect(file_hub.path) as hub:
        for given in ODD_STARTS[1:]:
            with pytest.raises((TypeError, ValueError)):
                hub.client.start(**given)
        assert hub.client.list_instances().instances == []


@pytest.mark.parametrize(
    "wanted",
    [
        RuntimeStatus.RUNNING,
        "Running",
        ["Running", "Failed"],
        (RuntimeStatus.RUNNING,),
    ],
    ids=["one", "text", "texts", "several"],
)
def test_statuses_to_list_are_given_alone_or_together_by_value_or_name(hub: Hub, wanted: Any):
    host = hub.open(app)
    host.client.start("waits", instance_id="w")
    host.client.wait(host.client.start("echoes"), PATIENCE)
    page = host.client.list_instances(Query(status=wanted))
    assert [one.instance_id for one in page.instances] == ["w"]


def test_instances_are_listed_by_the_name_of_their_orchestration(hub: Hub):
    host = hub.open(app)
    host.client.start("waits", instance_id="w")
    host.client.start("echoes", instance_id="e")
    for name, wanted in (("waits", ["w"]), ("", ["e", "w"]), ("wait", [])):
        found = host.client.list_instances(Query(name=name)).instances
        assert [one.instance_id for one in found] == wanted


def test_times_to_list_by_are_utc_where_they_have_no_zone(hub: Hub):
    host = hub.open(app)
    now = hub.clock.now()
    host.client.start("waits", instance_id="w")
    naive = now.replace(tzinfo=None)
    for since, count in ((naive - HOUR, 1), (naive, 1), (naive + HOUR, 0)):
        assert len(host.client.list_instances(Query(created_from=since)).instances) == count
    until = Query(created_from=naive - HOUR, created_to=naive + HOUR)
    assert len(host.client.list_instances(until).instances) == 1


@pytest.mark.parametrize(
    "conditions",
    [{"status": "running"}, {"status": ["Nope"]}, {"created_from": "today"}, {"name": len}],
)
def test_conditions_that_cannot_be_are_refused(conditions: dict[str, Any]):
    with pytest.raises((TypeError, ValueError)):
        Query(**conditions)


def test_who_waits_after_a_rewind_from_elsewhere_is_given_the_new_end(file_hub: Hub):
    mended.clear()
    host = file_hub.open(app)
    host.client.wait(host.client.start("fails", instance_id="a"), PATIENCE)
    host.close()
    mended.append(True)
    assert file_hub.path is not None
    with ost.local.connect(file_hub.path, app) as hub:
        hub.client.rewind("a")
        with pytest.raises(TimeoutError):  # rather than the failure of before
            hub.client.wait("a", 0.01)
        assert file_hub.open(app).client.wait("a", PATIENCE).output == "mended"
        assert hub.client.wait("a", PATIENCE).output == "mended"

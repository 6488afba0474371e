"""The function app: what is in it, and that it lives beside plain Durable Functions."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import azure.durable_functions as df  # pyright: ignore[reportMissingTypeStubs]
import azure.functions as func
import pytest

import function_app
import ostinato as ost
import ostinato_azure
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato.triggers import Trigger
from ostinato_azure.client import AzureClient
from ostinato_azure.functions import CHATTY
from ostinato_azure.names import GATE
from tests.conformance.harness import EPOCH


def triggers(target: Any) -> dict[str, str]:
    """The function app's functions and the kinds of their triggers."""
    found = [(f.get_function_name(), f.get_trigger().type) for f in target.get_functions()]
    return dict(found)


def test_the_repository_root_is_a_function_app():
    found = triggers(function_app.app)
    assert found["ingest"] == "orchestrationTrigger"
    assert found["ingest_file"] == "activityTrigger"
    assert {"ostinato-gate", "ostinato-client", "ostinato_http"} <= found.keys()


def test_a_function_app_is_made_of_an_application():
    name: Any = "invoices"
    with pytest.raises(TypeError, match=r"^function_app takes an App, not str \('invoices'\)$"):
        ostinato_azure.function_app(name)


def test_an_orchestration_and_an_activity_of_one_name_are_two_functions():
    app = ost.App("names")
    app.activity(name="same")(lambda: None)

    @app.orchestration(name="same")
    def same(ctx: ost.OrchestrationContext):
        yield ctx.call_activity("same")

    _ = same
    found = triggers(ostinato_azure.function_app(app))
    assert (found["same"], found["same_2"]) == ("orchestrationTrigger", "activityTrigger")


@pytest.mark.parametrize(
    "functions", [None, func.FunctionApp(), func.FunctionApp(func.AuthLevel.ADMIN)]
)
def test_azure_asks_for_no_function_key_on_the_way_to_a_webhook(
    functions: func.FunctionApp | None,
):
    app = ost.App("webhooks")

    @app.orchestration(triggers=[ost.Http("hooks", auth=ost.HttpAuth(hmac_env="SECRET"))])
    def hook(ctx: ost.OrchestrationContext):
        yield ctx.create_timer(ctx.current_utc_datetime)

    _ = hook
    target = ostinato_azure.function_app(app, functions=functions)
    (found,) = (f for f in target.get_functions() if f.get_function_name() == "hook_http")
    trigger = json.loads(found.get_raw_bindings()[0])
    assert (trigger["route"], trigger["authLevel"]) == ("hooks", "ANONYMOUS")


def test_a_trigger_that_versions_have_in_common_is_one_function():
    app = ost.App("versions")
    shared: list[Trigger] = [
        ost.Http("orders/{id}"),
        ost.Queue("orders"),
        ost.Schedule("0 2 * * *"),
    ]

    def order(ctx: ost.OrchestrationContext):
        yield ctx.create_timer(ctx.current_utc_datetime)

    app.orchestration(version="1", triggers=shared)(order)
    app.orchestration(version="2", triggers=[*shared, ost.Queue("late-orders")])(order)
    found = triggers(ostinato_azure.function_app(app))
    assert [name for name in found if name.startswith("order_")] == [
        "order_http",
        "order_queue",
        "order_schedule",
        "order_queue_2",
    ]


def of_every_kind() -> ost.App:
    """An application with one function of each kind that may collide."""
    app = ost.App("kinds")

    @app.activity
    def add(number: int) -> int:
        return number + 1

    @app.orchestration(triggers=[ost.Queue("numbers")])
    def flow(ctx: ost.OrchestrationContext, number: int):
        return (yield ctx.call_activity(add, number))

    _ = flow
    return app


def declare(target: Any, kind: str, name: str, **settings: str) -> None:
    """Add a function of the user's own to a function app."""

    def theirs(given: Any) -> None:
        """Do nothing."""

    bound = target.generic_trigger(arg_name="given", type=kind, **settings)(theirs)
    target.function_name(name)(bound)


COLLISIONS: list[tuple[str, str, dict[str, str], list[str]]] = [
    ("activityTrigger", "Add", {}, ["activity 'Add'", "'add'", "app.foreign_activity('Add')"]),
    ("activityTrigger", "else", {"activity": "ADD"}, ["activity 'ADD'", "'add'", "rename"]),
    (
        "orchestrationTrigger",
        "Flow",
        {},
        ["orchestration 'Flow'", "'flow'", "app.foreign_orchestration('Flow')"],
    ),
    ("orchestrationTrigger", "e", {"orchestration": "flow"}, ["orchestration 'flow'", "rename"]),
    ("queueTrigger", "FLOW", {"queueName": "q"}, ["function 'FLOW'", "'flow'", "rename one"]),
    ("queueTrigger", "flow_Queue", {"queueName": "q"}, ["'flow_Queue'", "'flow_queue'"]),
    ("queueTrigger", "Ostinato-Gate", {"queueName": "q"}, ["'ostinato-gate'", "the former"]),
    ("activityTrigger", "ostinato-client", {}, ["'ostinato-client'", "rename the former"]),
]


@pytest.mark.parametrize(("kind", "name", "settings", "told"), COLLISIONS)
def test_a_function_with_a_name_of_ours_is_refused_and_both_are_named(
    kind: str, name: str, settings: dict[str, str], told: list[str]
):
    target = func.FunctionApp()
    declare(target, kind, name, **settings)
    with pytest.raises(ost.RegistrationError) as caught:
        ostinato_azure.function_app(of_every_kind(), functions=target)
    for part in told:
        assert part in str(caught.value)


def test_a_function_with_a_name_of_ours_is_refused_when_it_is_added_later():
    target = ostinato_azure.function_app(of_every_kind())
    declare(target, "queueTrigger", "FLOW", queueName="q")
    with pytest.raises(ost.RegistrationError, match="function 'FLOW'"):
        target.get_functions()


def test_functions_of_other_names_and_kinds_are_let_be():
    target = func.FunctionApp()
    declare(target, "orchestrationTrigger", "other", orchestration="add")
    declare(target, "entityTrigger", "entity", entityName="flow")
    ostinato_azure.function_app(of_every_kind(), functions=target)
    declare(target, "queueTrigger", "later", queueName="q")
    assert {"other", "entity", "later", "flow", "add"} <= triggers(target).keys()


def test_a_name_that_is_declared_foreign_is_theirs():
    app = ost.App("foreign")
    app.foreign_activity("add")
    target = func.FunctionApp()
    declare(target, "activityTrigger", "add")
    assert triggers(ostinato_azure.function_app(app, functions=target))["add"] == "activityTrigger"


@pytest.mark.parametrize(
    ("name", "told"), [("Add", "^activity 'add' and activity 'Add' are"), (GATE, "the adapter")]
)
def test_names_of_our_own_that_the_host_takes_for_one_are_refused(name: str, told: str):
    app = of_every_kind()
    app.activity(name=name)(lambda: None)
    with pytest.raises(ost.RegistrationError, match=told):
        ostinato_azure.function_app(app)


def beside_plain_functions() -> tuple[ost.App, Any]:
    """Ours and plain 1.x functions in one app, each calling the other's."""
    app = ost.App("ours")
    theirs = app.foreign_activity("Plain_Double")  # the host ignores case
    nowhere = app.foreign_activity("nowhere")
    child = app.foreign_orchestration("plain_flow")
    app.foreign_orchestration("plain_waiting")
    app.foreign_orchestration("plain_catching")

    @app.activity
    def add_one(number: int) -> int:
        return number + 1

    @app.activity
    def refuse() -> None:
        raise ValueError("not today")

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext, number: int):
        doubled = yield ctx.call_activity(theirs, {"number": number})
        flowed = yield ctx.call_sub_orchestrator(child, doubled)
        try:
            yield ctx.call_activity(nowhere)
        except ost.TaskFailedError as error:
            return [doubled, flowed, error.failure.type]

    @app.orchestration
    def telling(ctx: ost.OrchestrationContext, instance_id: str):
        ctx.send_event(instance_id, "go", {"at": "2026-01-02"})
        ctx.start_orchestration("plain_waiting", {"by": "ours"}, "started-by-ours")
        yield ctx.task_all([])

    _ = flow, telling
    plain = df.DFApp()

    @plain.activity_trigger(input_name="value")
    def plain_double(value: dict[str, int]) -> int:
        return 2 * value["number"]

    @plain.orchestration_trigger(context_name="context")
    def plain_flow(context: df.DurableOrchestrationContext):
        return (yield context.call_activity("add_one", context.get_input()))

    @plain.orchestration_trigger(context_name="context")
    def plain_waiting(context: df.DurableOrchestrationContext):
        event = yield context.wait_for_external_event("go")
        return [context.get_input(), event]

    @plain.orchestration_trigger(context_name="context")
    def plain_catching(context: df.DurableOrchestrationContext):
        try:
            yield context.call_activity("refuse")
        except Exception as error:
            return str(error)

    _ = plain_double, plain_flow, plain_waiting, plain_catching
    return app, ostinato_azure.function_app(app, functions=plain)


@pytest.fixture
def beside() -> Iterator[tuple[FunctionsHost, AzureClient]]:
    """Both in one app on the stand-in, and the client of ours."""
    app, target = beside_plain_functions()
    with FunctionsHost(DirectWorker(target), clock=ManualClock(EPOCH)) as host:
        client = AzureClient(host.url, app=app)
        yield host, client
        client.close()


def result(host: FunctionsHost, client: AzureClient, instance_id: str) -> Any:
    """What an instance returned, when nothing moves any more."""
    host.settle()
    status = client.get_status(instance_id)
    assert status.runtime_status == "Completed", status
    return status.output


plain_1x = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@plain_1x
def test_ours_and_plain_functions_of_1x_call_each_other_in_one_app(
    beside: tuple[FunctionsHost, AzureClient],
):
    host, client = beside
    assert result(host, client, client.start("flow", 4)) == [8, 9, "ActivityError"]


@plain_1x
def test_orchestrations_of_others_are_given_inputs_and_events_as_the_data_they_are(
    beside: tuple[FunctionsHost, AzureClient],
):
    host, client = beside
    given = {"$ostinato": 0}
    by_client, by_ours = client.start("plain_waiting", given), client.start("plain_waiting", "text")
    host.settle()
    client.raise_event(by_client, "go", {"a": [1]}, event_id="once")
    client.start("telling", by_ours)
    assert result(host, client, by_client) == [given, {"a": [1]}]
    assert result(host, client, by_ours) == ["text", {"at": "2026-01-02"}]
    client.raise_event("started-by-ours", "go", True)
    assert result(host, client, "started-by-ours") == [{"by": "ours"}, True]
    client.restart("started-by-ours", new_instance_id=False)
    host.settle()
    client.raise_event("started-by-ours", "go", 1)
    assert result(host, client, "started-by-ours") == [{"by": "ours"}, 1]


@plain_1x
@pytest.mark.parametrize("given", [{"a": 1}, [1, 2], "text", '{"a": 1}', 5, True, None])
def test_orchestrations_of_others_are_given_data_of_every_kind(
    given: object, beside: tuple[FunctionsHost, AzureClient]
):
    host, client = beside
    instance_id = client.start("plain_waiting", given)
    host.settle()
    client.raise_event(instance_id, "go", given)
    assert result(host, client, instance_id) == [given, given]


@plain_1x
def test_orchestrations_of_others_take_no_tags(beside: tuple[FunctionsHost, AzureClient]):
    _, client = beside
    with pytest.raises(ost.UnsupportedError, match="'plain_waiting'"):
        client.start("plain_waiting", tags={"a": "b"})


@plain_1x
def test_a_failure_of_our_activity_is_told_to_others_in_one_line(
    beside: tuple[FunctionsHost, AzureClient],
):
    host, client = beside
    told = result(host, client, client.start("plain_catching"))
    assert "ValueError: not today" in told and "$ostinato" not in told


def runs_of_the_code(turns: int) -> int:
    """How often an orchestrator is begun from the top in so many turns."""
    began: list[int] = []
    app = ost.App("counted")
    app.activity(name="pass")(lambda: None)

    @app.orchestration
    def counted(ctx: ost.OrchestrationContext):
        began.append(1)
        for _ in range(turns - 1):
            yield ctx.call_activity("pass")

    _ = counted
    worker = DirectWorker(ostinato_azure.function_app(app))
    with FunctionsHost(worker, clock=ManualClock(EPOCH)) as host:
        client = AzureClient(host.url)
        client.start("counted", instance_id="one")
        host.settle()
        assert client.get_status("one").runtime_status == "Completed"
        client.close()
    return len(began)


def test_an_app_setting_says_how_much_is_kept_between_turns(monkeypatch: pytest.MonkeyPatch):
    assert runs_of_the_code(turns=5) == 1
    monkeypatch.setenv("OSTINATO_LIVE_BYTES", "0")
    assert runs_of_the_code(turns=5) == 5
    monkeypatch.setenv("OSTINATO_LIVE_BYTES", "a lot")
    with pytest.raises(ost.RegistrationError, match="OSTINATO_LIVE_BYTES is a number of bytes"):
        ostinato_azure.function_app(ost.App("x"))


def test_an_app_without_http_functions_is_listed_without_a_warning(
    caplog: pytest.LogCaptureFixture,
):
    assert triggers(ostinato_azure.function_app(of_every_kind()))
    assert caplog.messages == []


@pytest.mark.parametrize("name", CHATTY)
def test_libraries_that_tell_of_every_request_are_quiet_unless_told_otherwise(name: str):
    logger = logging.getLogger(name)
    before = logger.level
    try:
        for given, then in ((logging.NOTSET, logging.WARNING), (logging.DEBUG, logging.DEBUG)):
            logger.setLevel(given)
            ostinato_azure.function_app(of_every_kind())
            assert logger.level == then
    finally:
        logger.setLevel(before)

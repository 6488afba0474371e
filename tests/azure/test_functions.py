"""The function app: what is in it, and that it lives beside plain Durable Functions."""

from __future__ import annotations

from typing import Any

import azure.durable_functions as df  # pyright: ignore[reportMissingTypeStubs]
import pytest

import function_app
import ostinato as ost
import ostinato_azure
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure.client import AzureClient
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


def test_an_orchestration_and_an_activity_of_one_name_are_two_functions():
    app = ost.App("names")
    app.activity(name="same")(lambda: None)

    @app.orchestration(name="same")
    def same(ctx: ost.OrchestrationContext):
        yield ctx.call_activity("same")

    _ = same
    found = triggers(ostinato_azure.function_app(app))
    assert (found["same"], found["same_2"]) == ("orchestrationTrigger", "activityTrigger")


def beside_plain_functions() -> tuple[ost.App, Any]:
    """Ours and plain 1.x functions in one app, each calling the other's."""
    app = ost.App("ours")
    theirs = app.foreign_activity("plain_double")
    nowhere = app.foreign_activity("nowhere")
    child = app.foreign_orchestration("plain_flow")

    @app.activity
    def add_one(number: int) -> int:
        return number + 1

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext, number: int):
        doubled = yield ctx.call_activity(theirs, {"number": number})
        flowed = yield ctx.call_sub_orchestrator(child, doubled)
        try:
            yield ctx.call_activity(nowhere)
        except ost.TaskFailedError as error:
            return [doubled, flowed, error.failure.type]

    _ = flow
    plain = df.DFApp()

    @plain.activity_trigger(input_name="value")
    def plain_double(value: dict[str, int]) -> int:
        return 2 * value["number"]

    @plain.orchestration_trigger(context_name="context")
    def plain_flow(context: df.DurableOrchestrationContext):
        return (yield context.call_activity("add_one", context.get_input()))

    _ = plain_double, plain_flow
    return app, ostinato_azure.function_app(app, functions=plain)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ours_and_plain_functions_of_1x_call_each_other_in_one_app():
    app, target = beside_plain_functions()
    with FunctionsHost(DirectWorker(target), clock=ManualClock(EPOCH)) as host:
        client = AzureClient(host.url, app=app)
        instance_id = client.start("flow", 4)
        host.hub.settle(30)
        status = client.get_status(instance_id)
        client.close()
    assert status.output == [8, 9, "ActivityError"]

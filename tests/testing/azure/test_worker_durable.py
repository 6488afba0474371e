"""The durable functions of a worker, by the names under which the task hub asks for them."""

from __future__ import annotations

import threading
from datetime import timedelta

import azure.durable_functions as df  # pyright: ignore[reportMissingTypeStubs]
import azure.functions as func
import pytest

from ostinato.testing.azure.ports import ActivityTimedOut, FunctionFailed, WorkersDied
from ostinato.testing.azure.worker import Function, Json, Outcome, WorkerLost
from ostinato.testing.azure.worker_bindings import ClientBindings
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato.testing.azure.worker_durable import DurableFunctions

CLIENT = ClientBindings(lambda binding: f"client of {binding.get('taskHub')}")


@pytest.fixture
def app():
    return func.FunctionApp()


@pytest.fixture
def durable(app):
    workers = []

    def start(**options):
        workers.append(DirectWorker(app))
        return DurableFunctions(workers[-1], CLIENT, **options)

    yield start
    for worker in workers:
        worker.close()


def test_names_are_those_of_the_bindings_else_of_the_functions_case_aside(durable, app):
    @app.generic_trigger(arg_name="x", type="orchestrationTrigger", orchestration="Named")
    def first(x) -> str:
        return f"<{x.body}>"

    @app.generic_trigger(arg_name="x", type="orchestrationTrigger")
    def second(x) -> str:
        return "2"

    functions = durable()
    assert functions.has_orchestration("named") and functions.has_orchestration("SECOND")
    assert not functions.has_orchestration("first") and not functions.has_activity("named")
    assert functions.orchestrate("Named", "request") == "<request>"


def test_an_activity_is_given_raw_text_and_gives_json(durable, app):
    @app.generic_trigger(arg_name="item", type="activityTrigger")
    @app.generic_input_binding(arg_name="client", type="durableClient", taskHub="hub")
    def act(item, client: str):
        return [item, client]

    assert durable().run_activity("act", '{"a": 1}') == '[{"a": 1}, "client of hub"]'


def test_the_app_is_on_grpc_as_soon_as_one_binding_says_so(durable, app):
    @app.generic_trigger(arg_name="x", type="activityTrigger")
    def plain(x):
        return x

    assert not durable().grpc

    @app.generic_trigger(arg_name="x", type="orchestrationTrigger", durableRequiresGrpc=True)
    def modern(x):
        return x

    assert durable().grpc


def test_an_activity_that_runs_out_of_its_time_fails_and_is_left_behind(durable, app):
    release = threading.Event()

    @app.generic_trigger(arg_name="x", type="activityTrigger")
    def slow(x):
        release.wait(10)

    with pytest.raises(ActivityTimedOut, match=r"exceeded by function: Functions\.slow"):
        durable(function_timeout=timedelta(0)).run_activity("slow", "null")
    release.set()


def test_a_binding_that_nothing_serves_is_named_in_the_failure(durable, app):
    @app.generic_trigger(arg_name="x", type="activityTrigger")
    @app.generic_input_binding(arg_name="rows", type="sql")
    def act(x, rows):
        return None

    with pytest.raises(FunctionFailed, match=r"'act'.*no binding of type 'sql' \(parameter 'rows'"):
        durable().run_activity("act", "null")


class Dying:
    """A worker that dies a number of times before it answers."""

    functions = (
        Function("act", ({"type": "activityTrigger", "name": "x"},)),
        Function("flow", ({"type": "orchestrationTrigger", "name": "x"},)),
        Function("counter", ({"type": "entityTrigger", "name": "x"},)),
    )

    def __init__(self, deaths):
        self.deaths = deaths
        self.called = 0

    def invoke(self, invocation):
        self.called += 1
        self.deaths -= 1
        if self.deaths >= 0:
            raise WorkerLost("exited with code 137")
        return Outcome(value=Json("1"))

    def close(self):
        pass


def test_a_turn_or_a_batch_whose_worker_was_lost_is_delivered_again():
    assert DurableFunctions(Dying(2), CLIENT).orchestrate("flow", "{}") == "1"
    assert DurableFunctions(Dying(4), CLIENT).run_entity("counter", "{}") == "1"


def test_a_turn_that_kills_every_worker_is_given_up_in_the_end():
    dying = Dying(100)
    with pytest.raises(WorkersDied, match="WorkerProcessExitException: exited with code 137"):
        DurableFunctions(dying, CLIENT).orchestrate("flow", "{}")
    assert dying.called == 5


def test_an_activity_whose_worker_was_lost_has_failed_that_attempt():
    dying = Dying(1)
    with pytest.raises(WorkersDied, match="WorkerProcessExitException: exited with code 137"):
        DurableFunctions(dying, CLIENT).run_activity("act", "null")
    assert dying.called == 1


def test_an_entity_is_found_by_its_own_name(durable, app):
    del app
    dfapp = df.DFApp()

    @dfapp.entity_trigger(context_name="context", entity_name="Counter")
    def count(context):
        context.set_state((context.get_state(lambda: 0)) + 1)

    worker = DirectWorker(dfapp)
    functions = DurableFunctions(worker, CLIENT)
    assert functions.has_entity("counter")
    answer = functions.run_entity(
        "counter",
        '{"self": {"name": "counter", "key": "k"}, "exists": false, "state": null,'
        ' "batch": [{"name": "add", "input": null, "isSignal": true}]}',
    )
    assert '"entityState": "1"' in answer
    worker.close()

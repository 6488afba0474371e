"""Faults around an instance on Azure: what fails says why, and what was done is not lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

import ostinato as ost
import ostinato_azure
from ostinato.client import RuntimeStatus
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.hub import TaskHub
from ostinato.testing.azure.worker_bindings import ClientBindings
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato.testing.azure.worker_durable import DurableFunctions
from ostinato_azure.claims import CONTAINER_VARIABLE, THRESHOLD
from ostinato_azure.client import AzureClient
from tests.conformance.harness import EPOCH

PATIENCE = 60.0

FORGED = json.dumps({"$ostinato_claim": 1, "sha256": "0" * 64, "size": 3})
"""A claim for what is not there."""


def application(*, removed: bool = False) -> ost.App:
    """An application, or the one that is deployed after it, without its orchestration."""
    app = ost.App("faults")

    @app.activity
    def count(number: int) -> int:
        ran.append(number)
        return number + 1

    @app.activity
    def long_text() -> str:
        return "x" * (2 * THRESHOLD)

    if not removed:

        @app.orchestration
        def waits(ctx: ost.OrchestrationContext):
            counted = yield ctx.call_activity(count, 1)
            event = yield ctx.wait_for_external_event("go")
            return [counted, event]

        @app.orchestration
        def measures(ctx: ost.OrchestrationContext):
            counted = yield ctx.call_activity(count, 1)
            ctx.patched("of every kind")  # what an answer has to repeat
            ctx.create_timer(timedelta(days=30))
            yield ctx.wait_for_external_event("go")
            text = yield ctx.call_activity(long_text)
            return [counted, len(text)]

        @app.orchestration
        def fails(ctx: ost.OrchestrationContext):
            raise ValueError("no")
            yield

        _ = waits, measures, fails
    return app


ran: list[int] = []


class Stand:
    """The app on the stand-in of the host, and a client."""

    def __init__(self, *, grpc: bool) -> None:
        ran.clear()
        self._grpc = grpc
        self._workers: list[DirectWorker] = []
        self.host = FunctionsHost(self._worker(application()), clock=ManualClock(EPOCH))
        self.client = AzureClient(self.host.url)

    def _worker(self, app: ost.App) -> DirectWorker:
        worker = DirectWorker(ostinato_azure.function_app(app, grpc=self._grpc))
        self._workers.append(worker)
        return worker

    def deploy(self, app: ost.App) -> None:
        self.host.deploy(self._worker(app))

    def settle(self) -> None:
        self.host.hub.settle(PATIENCE)

    def close(self) -> None:
        self.client.close()
        self.host.close()
        for worker in self._workers:
            worker.close()


@pytest.fixture(params=["classic", "grpc"])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    made = Stand(grpc=request.param == "grpc")
    yield made
    made.close()


@pytest.fixture
def claiming(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app claims large payloads."""
    monkeypatch.setenv(CONTAINER_VARIABLE, f"claims-{uuid4().hex[:10]}")
    monkeypatch.setenv("AzureWebJobsStorage", storage)


def test_an_orchestration_that_was_removed_fails_its_instances_which_go_on_when_it_is_back(
    stand: Stand,
) -> None:
    instance_id = stand.client.start("waits")
    stand.settle()
    stand.deploy(application(removed=True))
    stand.client.raise_event(instance_id, "go", "now")
    status = stand.client.wait(instance_id, PATIENCE)
    assert status.runtime_status is RuntimeStatus.FAILED
    assert status.failure is not None and status.failure.message
    stand.deploy(application())
    stand.client.rewind(instance_id, "it is back")
    assert stand.client.wait(instance_id, PATIENCE).output == [2, "now"]
    assert ran == [1]


def called(activity: str, child: str) -> ost.App:
    """An application whose activity and child have these names."""
    app = ost.App("faults")

    @app.activity(name=activity)
    def count(number: int) -> int:
        ran.append(number)
        return number + 1

    @app.orchestration(name=child)
    def counts(ctx: ost.OrchestrationContext, number: int):
        return (yield ctx.call_activity(count, number))

    def order(ctx: ost.OrchestrationContext, steps: list[str]):
        seen: list[Any] = []
        for step in steps:
            match step:
                case "activity":
                    seen.append((yield ctx.call_activity(count, 1)))
                case "child":
                    seen.append((yield ctx.call_sub_orchestrator(counts, 10)))
                case "timer":
                    ctx.create_timer(timedelta(days=2))
                case _:
                    seen.append((yield ctx.wait_for_external_event("go")))
        return seen

    app.orchestration(order)
    return app


@pytest.mark.parametrize(
    "steps",
    [
        ["activity", "timer", "event", "activity"],
        ["timer", "activity", "child", "event"],
        ["child", "timer", "event", "activity"],
        ["child", "activity", "event", "child"],
    ],
    ids=" ".join,
)
def test_what_calls_a_renamed_function_fails_and_goes_on_when_it_has_its_name_again(
    stand: Stand, steps: list[str]
) -> None:
    stand.deploy(called("count", "counts"))
    instance_id = stand.client.start("order", steps)
    stand.settle()
    stand.deploy(called("tally", "tallies"))
    stand.client.raise_event(instance_id, "go", "now")
    assert stand.client.wait(instance_id, PATIENCE).runtime_status is RuntimeStatus.FAILED
    stand.deploy(called("count", "counts"))
    stand.client.rewind(instance_id, "it has its name again")
    seen = {"activity": 2, "child": 11, "event": "now"}
    expected = [seen[step] for step in steps if step in seen]
    assert stand.client.wait(instance_id, PATIENCE).output == expected


@pytest.mark.usefixtures("claiming")
def test_storage_that_refuses_a_turn_fails_the_instance_which_goes_on_when_it_is_mended(
    stand: Stand, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dict(part.split("=", 1) for part in storage.split(";") if part)
    instance_id = stand.client.start("measures")
    stand.settle()
    monkeypatch.setenv("AzureWebJobsStorage", storage.replace(settings["AccountKey"], "d3Jvbmc="))
    stand.client.raise_event(instance_id, "go")
    status = stand.client.wait(instance_id, PATIENCE)
    assert status.failure is not None
    assert "access was refused" in status.failure.message
    assert settings["AccountKey"] not in str(status)
    monkeypatch.setenv("AzureWebJobsStorage", storage)
    stand.client.rewind(instance_id, "the key is right again")
    assert stand.client.wait(instance_id, PATIENCE).output == [2, 2 * THRESHOLD]
    assert ran == [1]


@pytest.mark.usefixtures("claiming")
def test_a_claim_for_what_is_not_there_fails_the_instance_with_the_reason(
    stand: Stand,
) -> None:
    instance_id = stand.client.start("measures")
    stand.settle()
    stand.host.hub.raise_event(instance_id, "go", FORGED)
    status = stand.client.wait(instance_id, PATIENCE)
    assert status.failure is not None
    assert (status.failure.type, ran) == ("ClaimError", [1])
    assert "it is not there" in status.failure.message


@pytest.mark.usefixtures("claiming")
def test_an_instance_that_cannot_read_a_payload_can_be_terminated(
    stand: Stand,
) -> None:
    instance_id = stand.client.start("measures")
    stand.settle()
    stand.host.hub.hold(instance_id)
    stand.host.hub.raise_event(instance_id, "go", FORGED)
    stand.host.hub.terminate(instance_id, "enough")
    stand.host.hub.release(instance_id)
    status = stand.client.wait(instance_id, PATIENCE)
    assert (status.runtime_status, status.output) == (RuntimeStatus.TERMINATED, "enough")


def test_an_instance_that_fails_is_logged_for_alerts(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    failing = stand.client.start("fails")
    stand.settle()
    (line,) = [r.getMessage() for r in caplog.records if r.name == "ostinato_azure.live"]
    assert line == f"instance {failing} failed: ValueError: no"


@pytest.mark.parametrize("grpc", [False, True])
def test_an_activity_that_outruns_the_hosts_time_fails_its_task_and_is_tried_again(
    grpc: bool,
) -> None:
    app = ost.App("slow")
    never = threading.Event()

    @app.activity
    def slow() -> None:
        never.wait(PATIENCE)

    @app.orchestration
    def calls(ctx: ost.OrchestrationContext):
        try:
            yield ctx.call_activity(slow, retry=ost.RetryPolicy(2, 1))
        except ost.TaskFailedError as error:
            return [error.failure.type, error.failure.message]

    _ = calls
    worker = DirectWorker(ostinato_azure.function_app(app, grpc=grpc))
    bindings = ClientBindings(lambda binding: "{}")
    functions = DurableFunctions(worker, bindings, function_timeout=timedelta(0))
    clock = ManualClock(EPOCH)
    with TaskHub(functions, clock=clock) as hub:
        instance_id = hub.start("calls")
        hub.settle(PATIENCE)
        clock.advance(timedelta(seconds=1))
        hub.settle(PATIENCE)
        state: Any = hub.get(instance_id)
    never.set()
    worker.close()
    assert state.status.name == "Completed"
    assert "ActivityError" in state.output and "Functions.slow" in state.output

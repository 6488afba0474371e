"""Activities replaced in a test: the same on every host, whoever calls them and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import AsyncMock, Mock, create_autospec

import pytest

import ostinato as ost
from ostinato.client import InstanceStatus
from ostinato.testing.crashes import Stage, explore


@dataclass
class Report:
    title: str


class NoPaper(Exception):
    pass


app = ost.App("reports")


@app.activity(retry=ost.RetryPolicy(2, 60), isolation="process", raises=NoPaper)
def write_report(title: str) -> Report:
    raise AssertionError("the real one ran")


@app.activity
def send(report: Report) -> str:
    raise AssertionError("the real one ran")


@app.orchestration
def reporting(ctx: ost.OrchestrationContext, title: str):
    report: Report = yield ctx.call_activity(write_report, title)
    assert type(report) is Report
    told = yield ctx.map(send, [report])
    again = yield ctx.call_activity("send", report)
    return [*told, again]


@app.orchestration
def careful(ctx: ost.OrchestrationContext, title: str):
    try:
        yield ctx.call_activity(write_report, title)
    except NoPaper as error:
        return str(error)


@app.orchestration
def fetching(ctx: ost.OrchestrationContext):
    return (yield ctx.call_http("GET", "https://example.invalid/", poll_interval=1))


def written(title):
    return {"title": title.upper()}


def sent(report):
    return f"sent {report.title}"


def locally(tested: ost.App, orchestration: str, given: Any) -> InstanceStatus:
    """Run an instance on the local engine."""
    clock = ost.testing.ManualClock()
    with ost.local.LocalHost(tested, store=":memory:", clock=clock) as host:
        host.client.start(orchestration, given, instance_id="i")
        host.settle()
        clock.advance(60)
        host.settle()
        return host.client.get_status("i")


def on_azure(tested: ost.App, orchestration: str, given: Any) -> InstanceStatus:
    """Run an instance on the stand-in of Azure's hosts."""
    pytest.importorskip("azure.functions")
    import ostinato_azure
    from ostinato.testing.azure.functions_host import FunctionsHost
    from ostinato.testing.azure.worker_direct import DirectWorker
    from ostinato_azure.client import AzureClient

    clock = ost.testing.ManualClock()
    worker = DirectWorker(ostinato_azure.function_app(tested))
    with FunctionsHost(worker, clock=clock) as host:
        client = AzureClient(host.url, app=tested)
        client.start(orchestration, given, instance_id="i")
        host.settle()
        clock.advance(60)
        host.settle()
        status = client.get_status("i")
        client.close()
        return status


Run = Callable[[ost.App, str, Any], InstanceStatus]


@pytest.fixture(params=[locally, on_azure], ids=["local", "azure"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs an instance of an application, a minute long, on one of the hosts."""
    chosen: Run = request.param
    return chosen


def test_calls_by_function_and_by_name_reach_the_stand_ins(run: Run):
    status = run(app.replacing({write_report: written, "send": sent}), "reporting", "may")
    assert status.output == ["sent MAY", "sent MAY"], status


@pytest.mark.parametrize("kind", [Mock, AsyncMock])
def test_mocks_are_given_what_the_activities_would_be(run: Run, kind: Any):
    report, mail = kind(return_value=Report("x")), kind(return_value="done")
    status = run(app.replacing({write_report: report, send: mail}), "reporting", "may")
    assert status.output == ["done", "done"], status
    report.assert_called_once_with("may")
    mail.assert_called_with(Report("x"))


def test_a_mock_with_the_activitys_signature_stands_in_for_it(run: Run):
    mail = create_autospec(send, return_value="done")
    status = run(app.replacing({write_report: written, send: mail}), "reporting", "may")
    assert status.output == ["done", "done"], status
    mail.assert_called_with(Report("MAY"))


def test_a_stand_in_is_retried_as_the_activity_is_and_its_failure_caught_as_itself(run: Run):
    failing = Mock(side_effect=NoPaper("none left"))
    status = run(app.replacing({write_report: failing}), "careful", "may")
    assert status.output == "none left", status
    assert failing.call_count == 2


def test_http_requests_go_to_a_stand_in_as_well(run: Run):
    answer = Mock(return_value={"statusCode": 200, "headers": {}, "content": "ours"})
    status = run(app.replacing({"ostinato.http": answer}), "fetching", None)
    assert status.output["content"] == "ours", status
    assert answer.call_args.args[0]["uri"] == "https://example.invalid/"


def test_an_application_with_another_function_of_the_same_name_is_told_what_is_wrong(run: Run):
    other = ost.App("other")
    other.activity(name="write_report")(written)
    other.orchestration(reporting)
    status = run(other, "reporting", "may")
    assert status.failure is not None
    assert status.failure.type == "UnknownNameError"
    assert "is not the one that is registered as 'write_report'" in status.failure.message
    assert f"(asked for at {__file__}:" in status.failure.message


def test_a_history_that_stand_ins_made_is_replayed_with_and_without_them():
    tested = app.replacing({write_report: written, send: sent})
    with ost.local.LocalHost(tested, store=":memory:") as host:
        host.client.start(reporting, "may", instance_id="i")
        assert host.client.wait("i", timeout=60).runtime_status == "Completed"
        history = host.client.get_history("i")
    ost.testing.replay_history(tested, history)
    ost.testing.replay_history(app, history)


def test_stand_ins_are_there_at_every_crash():
    def scenario(stage: Stage) -> None:
        stage.do(
            lambda client: client.start("reporting", "may", instance_id="i", if_exists="attach")
        )

    assert explore(app.replacing({write_report: written, send: sent}), scenario).kills > 0

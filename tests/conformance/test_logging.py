"""What an orchestrator logs is logged once, however often it is replayed."""

from __future__ import annotations

import logging

import pytest

import ostinato as ost

from .app import greet
from .model import ConformanceHost, Flow

app = ost.App("logging")
app.activity(greet)


@app.orchestration
def logs(ctx: ost.OrchestrationContext) -> Flow:
    for step in range(3):
        ctx.logger.info("step %d", step)
        yield ctx.call_activity(greet)
    yield ctx.wait_for_external_event("go")
    ctx.logger.warning("the end")


def test_each_message_is_logged_once(
    host: ConformanceHost, caplog: pytest.LogCaptureFixture
) -> None:
    host.deploy(app)
    with caplog.at_level(logging.INFO):
        instance_id = host.client.start(logs)
        host.settle()
        assert logged(caplog) == ["step 0", "step 1", "step 2"]
        host.deploy(app)
        host.settle()
        assert logged(caplog) == ["step 0", "step 1", "step 2"]
        host.client.raise_event(instance_id, "go")
        host.finish(instance_id)
        assert logged(caplog) == ["step 0", "step 1", "step 2", "the end"]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the orchestrator logged."""
    ours = [record for record in caplog.records if record.funcName == logs.__name__]
    return [record.getMessage() for record in ours]

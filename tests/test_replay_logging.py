from __future__ import annotations

import logging
from typing import Any

import pytest

import ostinato as ost
from ostinato.replay import Orchestration
from tests.histories import Flow, completed, fed, scheduled, started, turn


@pytest.fixture
def app() -> ost.App:
    app = ost.App("logging")
    app.foreign_activity("a")
    app.orchestration(talkative)
    return app


def talkative(ctx: ost.OrchestrationContext) -> Flow:
    try:
        for step in range(3):
            ctx.logger.info("step %d", step, extra={"step": step})
            yield ctx.call_activity("a")
    finally:
        ctx.logger.info("cleaning")


HISTORY: list[Any] = [turn(), started("talkative"), scheduled(0, "a")]


def test_each_thing_is_said_once_however_often_it_is_replayed(
    app: ost.App, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    first = Orchestration(app.registry)
    fed(first, *HISTORY[:2])
    first.close()
    second = Orchestration(app.registry)
    second.replay(HISTORY)
    fed(second, turn(), completed(0))
    second.close()
    third = Orchestration(app.registry)
    third.replay([*HISTORY, turn(), completed(0), scheduled(1, "a")])
    fed(third, turn(), completed(1))
    fed(third, turn(), completed(2))
    assert [record.getMessage() for record in caplog.records] == [
        "step 0",
        "step 1",
        "step 2",
        "cleaning",
    ]


def test_a_record_names_the_instance_and_keeps_the_users_own_fields(
    app: ost.App, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    fed(Orchestration(app.registry), *HISTORY[:2])
    record: Any = caplog.records[0]
    assert record.name == "ostinato.orchestration.talkative"
    assert (record.instance_id, record.execution_id) == ("i", "e")
    assert record.orchestration == "talkative"
    assert record.step == 0
    assert record.funcName == "talkative"


def test_the_users_own_fields_win(app: ost.App, caplog: pytest.LogCaptureFixture):
    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        ctx.logger.warning("mine", extra={"instance_id": "other"})
        yield from ()

    fed(Orchestration(app.registry), turn(), started("flow"))
    record: Any = caplog.records[0]
    assert record.instance_id == "other"


def test_a_logger_is_enabled_only_for_new_steps_and_wanted_levels(
    app: ost.App, caplog: pytest.LogCaptureFixture
):
    enabled: list[list[bool]] = []

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        while True:
            logger = ctx.logger
            assert logger is ctx.logger
            levels = (logging.DEBUG, logging.INFO)
            enabled.append([logger.isEnabledFor(level) for level in levels])
            yield ctx.call_activity("a")

    caplog.set_level(logging.INFO, logger="ostinato.orchestration.flow")
    orchestration = Orchestration(app.registry)
    orchestration.replay([turn(), started("flow"), scheduled(0, "a")])
    fed(orchestration, turn(), completed(0))
    assert enabled == [[False, False], [False, True]]

"""What an orchestrator logs is logged once, however often it is replayed."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator

import pytest

from .app import app
from .cases_orchestrators import logs
from .model import ConformanceHost
from .world import PATIENCE


class Told(logging.Handler):
    """What the orchestrator logs: here, or in a process whose lines come after, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.is_over = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message if it is one of the orchestrator's."""
        found = re.search(r"(step \d|the end)$", record.getMessage())
        if found is not None:
            self.messages.append(found[1])
        if self.messages[-1:] == ["the end"]:
            self.is_over.set()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Told]:
    """What is logged in this test."""
    told = Told()
    logger = logging.getLogger("ostinato")
    logger.addHandler(told)
    with caplog.at_level(logging.INFO):
        yield told
    logger.removeHandler(told)


def test_each_message_is_logged_once(host: ConformanceHost, told: Told) -> None:
    host.deploy(app)
    instance_id = host.client.start(logs)
    host.settle()
    host.deploy(app)
    host.settle()
    host.client.raise_event(instance_id, "go")
    host.finish(instance_id)
    assert told.is_over.wait(PATIENCE)
    assert told.messages == ["step 0", "step 1", "step 2", "the end"]

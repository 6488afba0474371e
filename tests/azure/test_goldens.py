"""Instances begun with an earlier version of the adapter: what it answered is answered again."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb
import pytest

from ostinato_azure.live import LiveTables
from ostinato_azure.table import Surroundings
from ostinato_azure.wires import respond
from tests.azure.goldens.app import app

GOLDENS = Path(__file__).parent / "goldens"
AROUND = Surroundings(
    registry=app.registry, has_activity=lambda name: False, has_orchestration=lambda name: False
)


def meaning(answer: str) -> Any:
    """An answer, however it is written."""
    if answer.startswith("{"):
        return json.loads(answer)
    return pb.OrchestratorResponse.FromString(base64.b64decode(answer))


@pytest.mark.parametrize("kept", [False, True], ids=["replayed", "kept between turns"])
@pytest.mark.parametrize("wire", ["classic", "durabletask"])
def test_every_turn_is_answered_as_it_was(wire: str, kept: bool) -> None:
    turns: list[dict[str, str]] = json.loads((GOLDENS / f"{wire}.json").read_text())
    live = LiveTables() if kept else None
    assert len(turns) > 10
    for number, turn in enumerate(turns):
        answer = respond(turn["request"], AROUND, live)
        assert meaning(answer) == meaning(turn["answer"]), f"turn {number}"

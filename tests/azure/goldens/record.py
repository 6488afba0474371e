"""Records the goldens: ``python -m tests.azure.goldens.record`` at the repository's root.

Record anew only when the adapter changes in a way that running instances need not survive.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb

import ostinato_azure
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker import Invocation, Json, Outcome, Text
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure.client import AzureClient
from tests.azure.goldens.app import app
from tests.conformance.harness import EPOCH
from tests.conformance.hosts import advance_to, go_on

HERE = Path(__file__).parent
ROOT = str(HERE.parent.parent.parent)
PATIENCE = 60.0


def anywhere(request: str) -> str:
    """A request with tracebacks as of a repository that is nowhere in particular."""
    if request.startswith("{"):
        return request.replace(ROOT, "/repository")
    asked = pb.OrchestratorRequest.FromString(b64decode(request))
    for event in (*asked.pastEvents, *asked.newEvents):
        if event.HasField("taskFailed"):
            _move(event.taskFailed.failureDetails)
    moved = b64encode(asked.SerializeToString(deterministic=True)).decode()
    assert ROOT.encode() not in b64decode(moved)
    return moved


def _move(message: Any) -> None:
    for field, value in message.ListFields():
        if isinstance(value, str):
            setattr(message, field.name, value.replace(ROOT, "/repository"))
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            for entry in value.values():
                _move(entry)
        elif field.message_type is not None:
            _move(value)


class Recorder(DirectWorker):
    """A worker that keeps what the orchestration is asked and answers."""

    def __init__(self, *, grpc: bool) -> None:
        super().__init__(ostinato_azure.function_app(app, grpc=grpc))
        self.turns: list[dict[str, str]] = []

    def invoke(self, invocation: Invocation) -> Outcome:
        """Call a function."""
        outcome = super().invoke(invocation)
        request = invocation.inputs.get("context")
        if invocation.function == "devices" and isinstance(request, Text):
            value = outcome.value
            assert isinstance(value, Json | Text)
            answer = value.text if isinstance(value, Json) else value.value
            self.turns.append({"request": anywhere(request.value), "answer": answer})
        return outcome


def record(*, grpc: bool) -> list[dict[str, str]]:
    """Run the application through two generations."""
    worker = Recorder(grpc=grpc)
    clock = ManualClock(EPOCH)
    with FunctionsHost(worker, clock=clock) as host:
        client = AzureClient(host.url, app=app)
        client.start("devices", 1, instance_id="golden", tags={"team": "blue"})
        host.hub.settle(PATIENCE)
        clock.advance(timedelta(days=10))
        for number in range(3):
            client.raise_event("golden", "go", number, event_id=f"event-{number}")

        def look() -> bool:
            host.hub.settle(PATIENCE)
            return host.hub.get("golden").status.finished

        go_on(look, bool, lambda: advance_to(host.hub.next_due(), clock))
        status = client.get_status("golden")
        print(status.output or status.failure)
        client.close()
    return worker.turns


if __name__ == "__main__":
    for name, grpc in (("classic", False), ("durabletask", True)):
        turns = record(grpc=grpc)[::4]  # as if other workers took those between
        print(f"{name}: {len(turns)} turns")
        (HERE / f"{name}.json").write_text(json.dumps(turns, indent=1) + "\n")

"""durabletask: its worker on its in-memory backend (nothing is written to a disk)."""

from __future__ import annotations

import logging
import socket
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import common
from durabletask import task
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.serialization import JsonDataConverter
from durabletask.testing import create_test_backend
from durabletask.worker import TaskHubGrpcWorker, _OrchestrationExecutor, _Registry

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
QUIET = logging.getLogger("bench")
QUIET.setLevel(logging.ERROR)


def add_one(_, value: int) -> int:
    return value + 1


def chain(ctx, steps: int):
    value = 0
    for _ in range(steps):
        value = yield ctx.call_activity(add_one, input=value)
    return value


def fan_out(ctx, items: int):
    results = yield task.when_all([ctx.call_activity(add_one, input=i) for i in range(items)])
    return sum(results)


@contextmanager
def running():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    backend = create_test_backend(port=port, max_history_size=10_000_000)
    address = f"localhost:{port}"
    worker = TaskHubGrpcWorker(host_address=address, logger=QUIET)
    worker.add_orchestrator(chain)
    worker.add_orchestrator(fan_out)
    worker.add_activity(add_one)
    worker.start()
    client = TaskHubGrpcClient(host_address=address, logger=QUIET)
    try:
        _ended(client, client.schedule_new_orchestration(chain, input=1), "1")
        yield client
    finally:
        client.close()
        worker.stop()
        backend.stop()


def _ended(client, instance_id: str, output: str) -> None:
    state = client.wait_for_orchestration_completion(instance_id, timeout=800)
    assert state.runtime_status is OrchestrationStatus.COMPLETED, state
    assert state.serialized_output == output, state


def chains(instances: int, steps: int):
    with running() as client:
        began = time.perf_counter()
        ids = [client.schedule_new_orchestration(chain, input=steps) for _ in range(instances)]
        for instance_id in ids:
            _ended(client, instance_id, str(steps))
        took = time.perf_counter() - began
    return _figures(instances * steps, took)


def fan(items: int):
    with running() as client:
        before = common.memory()[0]
        began = time.perf_counter()
        _ended(
            client,
            client.schedule_new_orchestration(fan_out, input=items),
            str(items * (items + 1) // 2),
        )
        took = time.perf_counter() - began
    peak = common.memory()[1]
    return _figures(items, took) | {"peak_mb": peak, "kb_per_item": (peak - before) * 1000 / items}


def _figures(activities: int, took: float):
    return {
        "activities_per_s": activities / took,
        "seconds": took,
        "version": version("durabletask"),
    }


def replay(shape: str, activities: int, turn: int):
    """Parse a request's bytes and run the executor on it, as the worker does for a turn."""
    build = sequential_history if shape == "sequential" else fan_out_history
    turns = build(activities, turn)
    past = [event for events in turns[:-1] for event in events]
    stored = pb.OrchestratorRequest(
        instanceId="i", pastEvents=past, newEvents=turns[-1]
    ).SerializeToString()
    registry = _Registry()
    registry.add_named_orchestrator("chain", chain)
    registry.add_named_orchestrator("fan_out", fan_out)
    registry.add_named_activity("add_one", add_one)
    converter = JsonDataConverter()

    def once() -> str:
        request = pb.OrchestratorRequest.FromString(stored)
        executor = _OrchestrationExecutor(registry, QUIET, data_converter=converter)
        done = executor.execute("i", request.pastEvents, request.newEvents)
        (action,) = done.actions
        assert action.completeOrchestration.orchestrationStatus == pb.ORCHESTRATION_STATUS_COMPLETED
        return action.completeOrchestration.result.value

    expected = activities if shape == "sequential" else activities * (activities + 1) // 2
    assert once() == str(expected)
    return {
        "activities_per_s": activities / common.timed(once),
        "bytes": len(stored),
        "version": version("durabletask"),
    }


def sequential_history(activities: int, turn: int):
    """One turn an activity: its predecessor's result, then its scheduling."""
    turns = [_first("chain", activities, at=EPOCH)]
    for number in range(activities):
        now = EPOCH + timedelta(milliseconds=number)
        turns[-1].append(
            _at(helpers.new_task_scheduled_event(number + 1, "add_one", str(number)), now)
        )
        turns.append(
            [
                helpers.new_orchestrator_started_event(now),
                _at(helpers.new_task_completed_event(number + 1, str(number + 1)), now),
            ]
        )
    return turns


def fan_out_history(activities: int, turn: int):
    """A turn that schedules everything, then turns of ``turn`` results each."""
    turns = [_first("fan_out", activities, at=EPOCH)]
    turns[0] += [
        _at(helpers.new_task_scheduled_event(n + 1, "add_one", str(n)), EPOCH)
        for n in range(activities)
    ]
    for first in range(0, activities, turn):
        now = EPOCH + timedelta(milliseconds=first)
        turns.append([helpers.new_orchestrator_started_event(now)])
        turns[-1] += [
            _at(helpers.new_task_completed_event(n + 1, str(n + 1)), now)
            for n in range(first, min(first + turn, activities))
        ]
    return turns


def _first(name: str, activities: int, at: datetime):
    return [
        helpers.new_orchestrator_started_event(at),
        _at(helpers.new_execution_started_event(name, "i", str(activities)), at),
    ]


def _at(event, now: datetime):
    event.timestamp.FromDatetime(now)
    return event


if __name__ == "__main__":
    common.serve_child({"chains": chains, "fan": fan, "replay": replay})

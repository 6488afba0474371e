"""Orchestrators written for azure-functions-durable 1.x run here unchanged.

Everything between the rulers is as it stands in a function app: names as strings, 1.x's
own types and imports. Only the registration is ours.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import ostinato as ost
from ostinato.testing import ManualClock

df: Any = pytest.importorskip("azure.durable_functions")

# ---------------------------------------------------------------------------------------
# Function chaining


def chaining_orchestrator(context: df.DurableOrchestrationContext):
    city = context.get_input()
    greeting = yield context.call_activity("SayHello", city)
    louder = yield context.call_activity("Shout", greeting)
    return [greeting, louder]


# Fan-out, fan-in


def backup_orchestrator(context: df.DurableOrchestrationContext):
    root: str = context.get_input()
    files = yield context.call_activity("GetFileList", root)
    tasks = []
    for file in files:
        tasks.append(context.call_activity("CopyFile", file))
    sizes = yield context.task_all(tasks)
    context.set_custom_status({"files": len(files)})
    return sum(sizes)


# Sub-orchestrations, with retry


def provision_orchestrator(context: df.DurableOrchestrationContext):
    devices = yield context.call_activity("GetNewDevices", None)
    retry_options = df.RetryOptions(5000, 3)
    provisioning = [
        context.call_sub_orchestrator_with_retry(
            "device_orchestrator", retry_options, device, f"{context.instance_id}-{device}"
        )
        for device in devices
    ]
    plain = context.call_sub_orchestrator("device_orchestrator", "hub")
    done = yield context.task_all([*provisioning, plain])
    return done


def device_orchestrator(context: df.DurableOrchestrationContext):
    device = context.get_input()
    url = yield context.call_activity("CreateUrl", device)
    yield context.call_activity(name="SendUrl", input_={"device": device, "url": url})
    return url


# Human interaction, with a timeout


def approval_orchestrator(context: df.DurableOrchestrationContext):
    yield context.call_activity("RequestApproval", context.instance_id)
    due_time = context.current_utc_datetime + timedelta(hours=72)
    timeout_task = context.create_timer(due_time)
    approval_event = context.wait_for_external_event("ApprovalEvent")

    winner = yield context.task_any([approval_event, timeout_task])
    if winner == approval_event:
        timeout_task.cancel()
        return (yield context.call_activity("ProcessApproval", approval_event.result))
    return (yield context.call_activity("Escalate", "Manager"))


# Monitor


def monitor_orchestrator(context: df.DurableOrchestrationContext):
    job = json.loads(context.get_input())
    expiry = context.current_utc_datetime + timedelta(hours=1)
    while context.current_utc_datetime < expiry:
        status = yield context.call_activity("GetJobStatus", job["id"])
        if status == "Completed":
            yield context.call_activity("SendAlert", job["id"])
            return "alerted"
        next_check = context.current_utc_datetime + timedelta(seconds=job["poll"])
        yield context.create_timer(next_check)
    return "expired"


# Eternal


def counter_orchestrator(context: df.DurableOrchestrationContext):
    current_value = context.get_input() or 0
    context.set_custom_status(current_value)
    operation = yield context.wait_for_external_event("operation")
    if operation == "end":
        return current_value
    current_value = current_value + (1 if operation == "incr" else -1)
    context.continue_as_new(current_value)


# Error handling


def transfer_orchestrator(context: df.DurableOrchestrationContext):
    transfer = context.get_input()
    yield context.call_activity(
        "DebitAccount", {"account": transfer["source"], "amount": transfer["amount"]}
    )
    try:
        yield context.call_activity(
            "CreditAccount", {"account": transfer["destination"], "amount": transfer["amount"]}
        )
    except Exception as error:
        yield context.call_activity(
            "CreditAccount", {"account": transfer["source"], "amount": transfer["amount"]}
        )
        if not context.is_replaying:
            logging.info("compensated")
        return f"returned: {type(error).__name__}"
    return "transferred"


def uncaught_orchestrator(context: df.DurableOrchestrationContext):
    yield context.call_activity("CreditAccount", {"account": "closed", "amount": 1})


# Activity retry


def retry_orchestrator(context: df.DurableOrchestrationContext):
    first_retry_interval_in_milliseconds = 5000
    max_number_of_attempts = 3
    retry_options = df.RetryOptions(first_retry_interval_in_milliseconds, max_number_of_attempts)
    result1 = yield context.call_activity_with_retry("FlakyFunction", retry_options, "Tokyo")
    result2 = yield context.call_activity_with_retry(
        "FlakyFunction", retry_options=retry_options, input_="London"
    )
    return [result1, result2]


def exhausting_orchestrator(context: df.DurableOrchestrationContext):
    try:
        yield context.call_activity_with_retry("NeverWorks", df.RetryOptions(1000, 2), None)
    except Exception as error:
        return str(error)


# Races, ids, versions: what else 1.x code leans on


def details_orchestrator(context: df.DurableOrchestrationContext):
    first = context.new_uuid()
    guid = context.new_guid()
    yield context.call_activity("SayHello", first)
    tasks = [context.call_activity("SayHello", name) for name in ("a", "b")]
    while tasks:
        done = yield context.task_any(tasks)
        assert done.is_completed and done.result.startswith("Hello")
        tasks.remove(done)
    return {
        "parent": context.parent_instance_id,
        "version": context.version,
        "custom": context.custom_status,
        "continuing": context.will_continue_as_new,
        "distinct": first != str(guid),
    }


# ---------------------------------------------------------------------------------------

ORCHESTRATORS = (
    chaining_orchestrator,
    backup_orchestrator,
    provision_orchestrator,
    device_orchestrator,
    approval_orchestrator,
    monitor_orchestrator,
    counter_orchestrator,
    transfer_orchestrator,
    uncaught_orchestrator,
    retry_orchestrator,
    exhausting_orchestrator,
    details_orchestrator,
)


class Services:
    """What the activities act upon."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.balances: dict[str, int] = {"savings": 100, "current": 0}
        self.polls_left = 3
        self.flaky: dict[str, int] = {}

    def hello(self, name: str) -> str:
        return f"Hello {name}!"

    def shout(self, text: str) -> str:
        return text.upper()

    def files(self, root: str) -> list[str]:
        return [f"{root}/{number}" for number in range(5)]

    def copy(self, file: str) -> int:
        return int(file.rpartition("/")[2]) * 10

    def new_devices(self) -> list[str]:
        return ["lamp", "fridge"]

    def create_url(self, device: str) -> str:
        self.flaky[device] = self.flaky.get(device, 0) + 1
        if device == "fridge" and self.flaky[device] < 3:
            raise ConnectionError(f"{device} is not there yet")
        return f"https://example.test/{device}"

    def send_url(self, order: dict[str, str]) -> None:
        self.sent.append(order["url"])

    def note(self, text: str) -> str:
        self.sent.append(text)
        return text

    def process(self, approval: dict[str, str]) -> str:
        return f"approved by {approval['by']}"

    def job_status(self, job: str) -> str:
        self.polls_left -= 1
        return "Running" if self.polls_left >= 0 else "Completed"

    def debit(self, order: dict[str, Any]) -> None:
        self.balances[order["account"]] -= order["amount"]

    def credit(self, order: dict[str, Any]) -> None:
        if order["account"] not in self.balances:
            raise LookupError(f"no account {order['account']}")
        self.balances[order["account"]] += order["amount"]

    def sometimes(self, city: str) -> str:
        self.flaky[city] = self.flaky.get(city, 0) + 1
        if self.flaky[city] < 3:
            raise TimeoutError(city)
        return city

    def never(self) -> None:
        raise ValueError("out of order")


class Bench:
    """An application of all patterns on the embedded engine, with a clock of its own."""

    def __init__(self, cache_size: int) -> None:
        self.services = services = Services()
        self.clock = ManualClock()
        app = ost.App("patterns")
        activities: dict[str, Callable[..., Any]] = {
            "SayHello": services.hello,
            "Shout": services.shout,
            "GetFileList": services.files,
            "CopyFile": services.copy,
            "GetNewDevices": services.new_devices,
            "CreateUrl": services.create_url,
            "SendUrl": services.send_url,
            "RequestApproval": services.note,
            "ProcessApproval": services.process,
            "Escalate": services.note,
            "GetJobStatus": services.job_status,
            "SendAlert": services.note,
            "DebitAccount": services.debit,
            "CreditAccount": services.credit,
            "FlakyFunction": services.sometimes,
            "NeverWorks": services.never,
        }
        for name, function in activities.items():
            app.activity(name=name)(function)
        for orchestrator in ORCHESTRATORS:
            app.orchestration(name=orchestrator.__name__)(orchestrator)
        self.host = ost.local.LocalHost(
            app, store=":memory:", clock=self.clock, cache_size=cache_size
        )

    def start(self, orchestrator: Callable[..., Any], input: Any = None) -> str:
        instance_id: str = self.host.client.start(orchestrator.__name__, input)
        self.host.settle(30)
        return instance_id

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.host.settle(30)

    def raise_event(self, instance_id: str, name: str, data: Any) -> None:
        self.host.client.raise_event(instance_id, name, data)
        self.host.settle(30)

    def status(self, instance_id: str) -> ost.InstanceStatus:
        return self.host.client.get_status(instance_id)

    def output(self, instance_id: str) -> Any:
        status = self.status(instance_id)
        assert status.runtime_status == "Completed", status
        return status.output


@pytest.fixture(params=[1000, 0], ids=["live", "replayed each turn"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(request.param)
    with bench.host:
        yield bench


def test_a_chain_passes_results_on(bench: Bench) -> None:
    instance_id = bench.start(chaining_orchestrator, "Tokyo")
    assert bench.output(instance_id) == ["Hello Tokyo!", "HELLO TOKYO!"]


def test_a_fan_out_is_summed_up(bench: Bench) -> None:
    instance_id = bench.start(backup_orchestrator, "/data")
    assert bench.output(instance_id) == 100
    assert bench.status(instance_id).custom_status == {"files": 5}


def test_sub_orchestrations_are_retried_under_ids_of_their_own(bench: Bench) -> None:
    instance_id = bench.start(provision_orchestrator)
    assert bench.status(instance_id).runtime_status == "Running"
    bench.advance(5)
    bench.advance(5)
    expected = [f"https://example.test/{device}" for device in ("lamp", "fridge", "hub")]
    assert bench.output(instance_id) == expected
    assert sorted(bench.services.sent) == sorted(expected)
    assert bench.output(f"{instance_id}-lamp") == "https://example.test/lamp"


def test_a_person_approves_in_time(bench: Bench) -> None:
    instance_id = bench.start(approval_orchestrator)
    bench.advance(71 * 3600)
    bench.raise_event(instance_id, "ApprovalEvent", {"by": "ada"})
    assert bench.output(instance_id) == "approved by ada"


def test_nobody_approves_in_time(bench: Bench) -> None:
    instance_id = bench.start(approval_orchestrator)
    bench.advance(73 * 3600)
    assert bench.output(instance_id) == "Manager"
    assert bench.services.sent == [instance_id, "Manager"]


def test_a_monitor_polls_until_the_job_is_done(bench: Bench) -> None:
    instance_id = bench.start(monitor_orchestrator, json.dumps({"id": "job-1", "poll": 600}))
    for _ in range(3):
        assert bench.status(instance_id).runtime_status == "Running"
        bench.advance(600)
    assert bench.output(instance_id) == "alerted"
    assert bench.services.sent == ["job-1"]


def test_a_monitor_expires(bench: Bench) -> None:
    bench.services.polls_left = 1000
    instance_id = bench.start(monitor_orchestrator, json.dumps({"id": "job-1", "poll": 600}))
    for _ in range(6):
        bench.advance(600)
    assert bench.output(instance_id) == "expired"


def test_an_eternal_counter_counts(bench: Bench) -> None:
    instance_id = bench.start(counter_orchestrator)
    for operation in ("incr", "incr", "decr", "incr"):
        bench.raise_event(instance_id, "operation", operation)
    assert bench.status(instance_id).custom_status == 2
    bench.raise_event(instance_id, "operation", "end")
    assert bench.output(instance_id) == 2


def test_a_failed_transfer_is_compensated(bench: Bench) -> None:
    transfer = {"source": "savings", "destination": "nowhere", "amount": 30}
    instance_id = bench.start(transfer_orchestrator, transfer)
    assert bench.output(instance_id) == "returned: LookupError"
    assert bench.services.balances == {"savings": 100, "current": 0}


def test_a_transfer_goes_through(bench: Bench) -> None:
    transfer = {"source": "savings", "destination": "current", "amount": 30}
    instance_id = bench.start(transfer_orchestrator, transfer)
    assert bench.output(instance_id) == "transferred"
    assert bench.services.balances == {"savings": 70, "current": 30}


def test_an_uncaught_failure_fails_the_instance(bench: Bench) -> None:
    status = bench.status(bench.start(uncaught_orchestrator))
    assert status.runtime_status == "Failed"
    assert status.failure is not None
    assert (status.failure.type, status.failure.message) == ("LookupError", "no account closed")


def test_an_activity_is_retried_by_1x_options(bench: Bench) -> None:
    instance_id = bench.start(retry_orchestrator)
    for _ in range(4):
        assert bench.status(instance_id).runtime_status == "Running"
        bench.advance(5)
    assert bench.output(instance_id) == ["Tokyo", "London"]


def test_an_activity_that_never_works_raises_in_the_end(bench: Bench) -> None:
    instance_id = bench.start(exhausting_orchestrator)
    bench.advance(1)
    assert "out of order" in bench.output(instance_id)


def test_the_details_that_1x_code_leans_on_are_there(bench: Bench) -> None:
    assert bench.output(bench.start(details_orchestrator)) == {
        "parent": None,
        "version": None,
        "custom": None,
        "continuing": False,
        "distinct": True,
    }

"""A plain azure-functions-durable 2.x app on the stand-in: protobuf, and clients over gRPC.

It runs in Microsoft's worker library, in an environment that has nothing of ours.
"""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.host_settings import HostJson
from ostinato.testing.azure.worker_library import LibraryWorker

FOLDER = Path(__file__).parent / "apps" / "durable2"
PYTHON = Path(__file__).parents[3] / ".venv-3.13-durable2" / "bin" / "python"


@pytest.fixture(scope="module")
def worker():
    if not PYTHON.is_file():
        why = "no environment with azure-functions-durable 2.x: .ci/set-up-durable2"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    worker = LibraryWorker(FOLDER, python=PYTHON)
    yield worker
    worker.close()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def host(worker, clock):
    with FunctionsHost(worker, host_json=HostJson.read(FOLDER), clock=clock) as host:
        yield host


@pytest.fixture
def http(host):
    with httpx.Client(base_url=host.url) as client:
        yield client


def start(http, name, input=None):
    answer = http.post(f"/api/orchestrators/{name}", json=input)
    assert answer.status_code == 202, answer.text
    return answer.json()


def finished(host, http, links):
    host.settle()
    return http.get(links["statusQueryGetUri"]).json()


def test_the_whole_app_is_on_protobuf(worker):
    flags = [b.get("durableRequiresGrpc") for f in worker.functions for b in f.bindings]
    assert True in flags


def test_a_chain_runs_from_an_http_starter_to_its_status(host, http):
    status = finished(host, http, start(http, "chain", "a"))
    assert (status["runtimeStatus"], status["output"]) == ("Completed", "a!!!")


def test_a_fan_out_and_children_answer(host, http):
    assert finished(host, http, start(http, "fan_out", 20))["output"] == 2470
    assert finished(host, http, start(http, "parent", ["a", "b"]))["output"] == "a!!! b!!!"


def test_an_event_wins_over_a_timer_or_comes_too_late(host, http, clock):
    told, forgotten = start(http, "approval"), start(http, "approval")
    host.settle()
    assert http.get(told["statusQueryGetUri"]).json()["customStatus"] == "waiting"
    assert http.post(f"/api/events/{told['id']}/approve", json="yes").status_code == 202
    assert finished(host, http, told)["output"] == "yes"
    clock.advance(24 * 3600)
    assert finished(host, http, forgotten)["runtimeStatus"] == "Running"
    clock.advance(24 * 3600)
    assert finished(host, http, forgotten)["output"] == "too late"


def test_a_failure_names_its_cause(host, http):
    status = finished(host, http, start(http, "failing"))
    assert status["runtimeStatus"] == "Failed"
    assert "cannot this" in status["output"]

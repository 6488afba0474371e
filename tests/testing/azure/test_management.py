"""The management API against what the real extension answered, request by request."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from ostinato.testing import ManualClock
from ostinato.testing.azure.hub import TaskHub
from ostinato.testing.azure.management import ManagementApi
from ostinato.testing.azure.ports import FunctionFailed

RECORDED = json.loads(
    (Path(__file__).parent / "traces" / "http-management-api.json").read_text(encoding="utf-8")
)

OTHERWISE = {
    "/entities/counter/k": (404, "the recording's backend had no entities; Azure Storage has"),
    "/entities/nosuch/k?op=add": (400, "the hub knows no names to list in the message"),
    "/makeprimary/": (404, "there is one app on a hub, and no lease to take"),
}
"""Where the stand-in answers otherwise on purpose."""

EXACT = {
    "Message",
    "runtimeStatus",
    "name",
    "customStatus",
    "input",
    "instancesDeleted",
    "EventType",
    "FunctionName",
    "Result",
    "Reason",
    "OrchestrationStatus",
}
"""Values that are compared; of all others the kind is."""


class Recorded:
    """The orchestrations of the recording."""

    grpc = False

    def has_orchestration(self, name):
        return name.lower() in {"orch", "child"}

    def has_activity(self, name):
        return name == "act"

    def has_entity(self, name):
        return False

    def run_entity(self, name, request):
        raise AssertionError

    def run_activity(self, name, input):
        if input == '"bad"':
            raise FunctionFailed("ValueError: bad thing", "trace")
        return '{"n": 1}'

    def orchestrate(self, name, request):
        asked = json.loads(request)
        history, input = asked["history"], asked["input"]
        if name == "child":
            return answer(done="kid")
        if input == "go":
            return answer(done={"o": 1})
        if input == "fail":
            failed = json.loads(answer())
            raise FunctionFailed(f"no\n\n$OutOfProcData$:{json.dumps({**failed, 'error': 'no'})}")
        if input == "acts":
            due = history[0]["Timestamp"][:10] + "T23:00:00.000000Z"
            parts = [
                {"actionType": 0, "functionName": "act", "input": '"good"'},
                {"actionType": 0, "functionName": "act", "input": '"bad"'},
                {"actionType": 2, "functionName": "child", "instanceId": "kid", "input": '"k"'},
                {"actionType": 5, "fireAt": due, "isCanceled": False},
            ]
            return answer([{"actionType": 12, "compoundActions": parts}], status={"p": 5})
        raised = [event["Input"] for event in history if event["EventType"] == 15]
        wait = {"actionType": 6, "externalEventName": "ev", "reason": "ExternalEvent"}
        return answer([wait], done=raised) if raised else answer([wait])


def answer(actions=(), *, done=None, status=None):
    told = {"isDone": done is not None, "schemaVersion": 2, "actions": [list(actions)]}
    return json.dumps({**told, "output": done, "customStatus": status})


@pytest.fixture
def hub():
    with TaskHub(Recorded(), clock=ManualClock(), name="TestHub") as hub:
        yield hub


def ask(hub, requests, **options):
    """Send requests one after another, the hub at rest between them."""
    import anyio

    api = ManagementApi(hub, prefix="/durabletask", **options)

    async def send_all():
        answers = []
        transport = httpx.ASGITransport(app=api)
        async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
            for request in requests:
                body, path = request.get("body"), request["path"]
                answers.append(
                    await client.request(
                        request["method"],
                        "/durabletask" + path,
                        content=None if body is None else body.encode(),
                        headers=request.get("headers"),
                    )
                )
                await anyio.to_thread.run_sync(hub.settle)
        return answers

    return anyio.run(send_all)


def test_every_recorded_request_is_answered_as_the_extension_answered_it(hub):
    requests = [{**step["request"], "path": replaced(step["request"]["path"])} for step in RECORDED]
    differing = []
    for step, given in zip(RECORDED, ask(hub, requests), strict=True):
        wanted, path = step["response"], step["request"]["path"]
        if path in OTHERWISE:
            assert given.status_code == OTHERWISE[path][0]
            continue
        if seen(given) != shape_of(wanted):
            differing.append((step["request"], seen(given), shape_of(wanted)))
    assert differing == []


def replaced(path):
    """Ids written out, one among them that was made up, and a wait for nothing cut short."""
    path = path.replace("/nosuch", "/nosuch/05648171") if path == "/orchestrators/nosuch" else path
    short = path.replace("timeout=2&pollingInterval=1", "timeout=0.01&pollingInterval=0.01")
    return short.replace("<257 times x>", "x" * 257)


def seen(given):
    body = given.json() if given.content else None
    return shaped(given.status_code, given.headers, body)


def shape_of(wanted):
    return shaped(wanted["status"], wanted["headers"], wanted.get("json"))


def shaped(status, headers, body):
    named = {name.lower(): value for name, value in headers.items()}
    kept = {name: named.get(name) for name in ("retry-after", "content-type")}
    if "x-ms-continuation-token" in named:
        kept["token"] = named["x-ms-continuation-token"]
    kept["location"] = "location" in named
    return status, kept, shape(body)


def shape(value, key=""):
    """Values that are told apart, kinds of all others; links without host, hub and key."""
    if key in EXACT or (key == "" and isinstance(value, str)):
        return value
    if isinstance(value, dict):
        return [(name, shape(part, name)) for name, part in value.items()]
    if isinstance(value, list):
        # Made up ids fall anywhere in a listing, and who of several ends first is chance.
        return sorted((shape(part) for part in value), key=repr)
    if isinstance(value, str) and value.startswith("http"):
        path = re.sub(r"^https?://[^/]+|taskHub=\w+&connection=\w+&code=\w*", "", value)
        return re.sub(r"instances/[^/?]+", "instances/ID", path)
    return type(value).__name__


def test_a_key_is_asked_for_where_the_api_is_guarded(hub):
    requests = [
        {"method": "GET", "path": "/instances"},
        {"method": "GET", "path": "/instances?code=wrong"},
        {"method": "GET", "path": "/instances?CODE=k%26y"},
        {"method": "GET", "path": "/instances", "headers": {"x-functions-key": "k&y"}},
        {"method": "POST", "path": "/orchestrators/orch/i1?code=k%26y"},
    ]
    answers = ask(hub, requests, key="k&y", is_guarded=True)
    assert [answer.status_code for answer in answers] == [401, 401, 200, 200, 202]
    assert answers[-1].json()["statusQueryGetUri"].endswith("code=k%26y")


def test_a_failed_instance_is_rewound(hub):
    hub.start("orch", '"fail"', instance_id="f")
    hub.settle()
    (answer,) = ask(hub, [{"method": "POST", "path": "/instances/f/rewind?reason=x"}])
    assert answer.status_code == 202
    assert hub.get("f").status.name == "Failed"

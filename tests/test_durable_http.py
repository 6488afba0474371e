from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

import ostinato as ost
from ostinato.actions import Completed, CreateTimer, Failed, ScheduleTask
from ostinato.definitions import HTTP_ACTIVITY
from ostinato.durable_http import perform, request_of
from ostinato.replay import Orchestration
from tests.histories import Flow, at, completed, ends, failed, fed, fired, live, started, turn
from tests.identities import Identities

df: Any = pytest.importorskip("azure.durable_functions")
URI = "http://here/jobs/"
TOKEN = ost.ManagedIdentityTokenSource("https://graph.example")


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked, and the status that the path names."""

    def answer(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        asked = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(size).decode(),
        }
        data = json.dumps(asked).encode()
        self.send_response(int(self.path.strip("/") or 200))
        self.send_header("X-Mixed-Case", "Kept As Is")
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a real server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def ask(method: str, uri: str, content: Any = None, **options: Any) -> Any:
    options = {"headers": None, "header_env": None, "token_source": None} | options
    is_raw_str = options.pop("is_raw_str", False)
    return perform(request_of(method, uri, content, is_raw_str=is_raw_str, **options))


# One request


def test_an_answer_has_status_lower_case_headers_and_text(server: str):
    answer = ask("get", f"{server}/200")
    assert answer["statusCode"] == 200
    assert answer["headers"]["x-mixed-case"] == "Kept As Is"
    assert json.loads(answer["content"])["method"] == "GET"


@pytest.mark.parametrize("status", [201, 302, 404, 500, 503])
def test_any_status_is_an_answer(server: str, status: int):
    assert ask("GET", f"{server}/{status}")["statusCode"] == status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_every_method_is_made(server: str, method: str):
    answer = ask(method.lower(), f"{server}/200")
    assert method == "HEAD" or json.loads(answer["content"])["method"] == method


def test_content_is_sent_as_json(server: str):
    asked = json.loads(ask("POST", server, {"name": "Ada", "n": [1, None]})["content"])
    assert json.loads(asked["body"]) == {"name": "Ada", "n": [1, None]}
    assert asked["headers"]["content-type"] == "application/json"


def test_a_text_is_sent_as_json_too_unless_it_is_raw(server: str):
    assert json.loads(ask("POST", server, "hé")["content"])["body"] == '"hé"'
    asked = json.loads(ask("POST", server, "hé", is_raw_str=True)["content"])
    assert asked["body"] == "hé"
    assert "content-type" not in asked["headers"]


def test_headers_are_sent_and_a_content_type_of_ones_own_stays(server: str):
    headers = {"Content-Type": "application/x-ours", "X-Team": "data"}
    asked = json.loads(ask("POST", server, [1], headers=headers)["content"])
    assert asked["headers"]["content-type"] == "application/x-ours"
    assert asked["headers"]["x-team"] == "data"


def test_secrets_are_read_where_the_request_is_made(server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OSTINATO_TEST_TOKEN", "Bearer secret")
    header_env = {"Authorization": "OSTINATO_TEST_TOKEN"}
    request = request_of("GET", server, None, None, header_env, None, False)
    assert "secret" not in json.dumps(request)
    asked = json.loads(perform(request)["content"])
    assert asked["headers"]["authorization"] == "Bearer secret"


def test_a_secret_that_is_not_set_is_an_error_that_names_it(
    server: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OSTINATO_TEST_TOKEN", raising=False)
    with pytest.raises(ost.OstinatoError, match=r"'Authorization'.*'OSTINATO_TEST_TOKEN'.*not set"):
        ask("GET", server, header_env={"Authorization": "OSTINATO_TEST_TOKEN"})


@pytest.mark.parametrize(
    "token_source", [TOKEN, df.ManagedIdentityTokenSource("https://graph.example")]
)
def test_a_token_is_fetched_where_the_request_is_made(
    server: str, identities: Identities, token_source: Any
):
    headers = {"authorization": "another"}
    request = request_of("GET", server, None, headers, None, token_source, False)
    assert request.get("token_resource") == "https://graph.example"
    assert identities.asked == []
    asked = json.loads(perform(request)["content"])
    assert asked["headers"]["authorization"].startswith("Bearer ey")
    assert identities.asked[0]["resource"] == "https://graph.example"


def test_no_answer_is_an_error():
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as closed:
        address = f"http://127.0.0.1:{closed.server_port}"
    with pytest.raises(httpx.ConnectError):
        ask("GET", address)


# What a request may be


@pytest.mark.parametrize("uri", ["", "here/x", "/x", "ftp://here/x", "http://", "file:///etc"])
def test_a_uri_is_absolute_and_of_http(uri: str):
    with pytest.raises(ValueError, match="needs an absolute http or https URI"):
        ask("GET", uri)


@pytest.mark.parametrize("uri", ["http://elsewhere/x", "http://localhost.example/x"])
def test_a_token_goes_nowhere_unencrypted(uri: str):
    with pytest.raises(ValueError, match="over https"):
        ask("GET", uri, token_source=TOKEN)


def test_a_raw_text_is_a_text():
    with pytest.raises(TypeError, match="is_raw_str needs content that is a str, not dict"):
        ask("POST", URI, {}, is_raw_str=True)


def test_content_that_is_no_json_is_refused_at_the_call():
    with pytest.raises(ost.CodecError, match="content of call_http"):
        ask("POST", URI, float("nan"))


# Long operations


def begin(uri: str = URI, **options: Any) -> Orchestration:
    """An orchestration that has made its first request."""
    app = ost.App("http")

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        headers = {"X-Team": "data", "Content-Type": "text/plain"}
        secrets = {"Authorization": "TOKEN"}
        answer = yield ctx.call_http(
            "POST", uri, "x", headers, is_raw_str=True, header_env=secrets, **options
        )
        return answer["statusCode"]

    orchestration, actions = live(app.registry, turn(), started("flow"))
    assert [request(action)["uri"] for action in actions] == [uri]
    return orchestration


def request(action: Any) -> dict[str, Any]:
    assert isinstance(action, ScheduleTask)
    assert action.name == HTTP_ACTIVITY
    asked: dict[str, Any] = json.loads(action.input)
    return asked


def answer(task_id: int, status: int, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return completed(task_id, {"statusCode": status, "headers": named, "content": ""})


def poll_after(orchestration: Orchestration, **headers: str) -> dict[str, Any]:
    """The request that follows an answer of 202 with these headers."""
    [pause] = fed(orchestration, answer(0, 202, **headers))
    assert isinstance(pause, CreateTimer)
    [action] = fed(orchestration, fired(1, (pause.due - at(0)).total_seconds()))
    return request(action)


def test_an_answer_other_than_202_is_the_result():
    assert fed(begin(), answer(0, 500)) == ends(Completed("500"))


def test_a_202_is_polled_by_timers_until_another_answer_comes():
    orchestration = begin()
    assert fed(orchestration, answer(0, 202, location="/jobs/deep/7", retry_after="10")) == [
        CreateTimer(task_id=1, due=at(10))
    ]
    [poll] = fed(orchestration, turn(10), fired(1, 10))
    assert request(poll) == {
        "method": "GET",
        "uri": "http://here/jobs/deep/7",
        "content": None,
        "headers": {"X-Team": "data"},
        "header_env": {"Authorization": "TOKEN"},
    }
    assert fed(orchestration, turn(11), answer(2, 202, location="8")) == [
        CreateTimer(task_id=3, due=at(41))
    ]
    [poll] = fed(orchestration, turn(41), fired(3, 41))
    assert request(poll)["uri"] == "http://here/jobs/deep/8"
    assert fed(orchestration, answer(4, 200)) == ends(Completed("200"))


def test_a_202_without_a_location_is_the_result():
    assert fed(begin(), answer(0, 202)) == ends(Completed("202"))


def test_a_202_is_the_result_where_polling_is_not_wanted():
    assert fed(begin(poll=False), answer(0, 202, location="/x")) == ends(Completed("202"))


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [
        ("0", 0),
        ("7", 7),
        ("999999999", 86_400),
        ("Sun, 01 Mar 2026 12:00:09 GMT", 9),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("soon", 3),
        ("-5", 3),
        ("", 3),
        ("²", 3),
    ],
)
def test_the_pause_is_the_servers_or_else_the_callers(retry_after: str, pause: float):
    orchestration = begin(poll_interval=timedelta(seconds=3))
    assert fed(orchestration, answer(0, 202, location="/x", retry_after=retry_after)) == [
        CreateTimer(task_id=1, due=at(pause))
    ]


@pytest.mark.parametrize(
    "location", ["https://here/x", "http://elsewhere/x", "http://here:8080/x", "//elsewhere/x"]
)
def test_headers_and_secrets_go_to_the_server_they_were_meant_for(location: str):
    poll = poll_after(begin(), location=location)
    assert (poll["headers"], poll["header_env"]) == ({}, {})


def test_a_token_goes_to_the_server_it_was_meant_for_as_well():
    orchestration = begin("https://here/jobs/", token_source=TOKEN)
    assert poll_after(orchestration, location="/x")["token_resource"] == "https://graph.example"
    orchestration = begin("https://here/jobs/", token_source=TOKEN)
    assert "token_resource" not in poll_after(orchestration, location="https://elsewhere/x")


def test_secrets_come_back_once_the_first_server_is_asked_again():
    orchestration = begin()
    assert poll_after(orchestration, location="http://elsewhere/x")["header_env"] == {}
    fed(orchestration, answer(2, 202, location=URI))
    [action] = fed(orchestration, fired(3, 90))
    assert request(action)["header_env"] == {"Authorization": "TOKEN"}


def test_a_location_that_is_no_uri_fails_the_task_and_not_the_host():
    orchestration = begin()
    fed(orchestration, answer(0, 202, location="http://[bad"))
    fed(orchestration, fired(1, 30))
    assert isinstance(orchestration.outcome, Failed)
    assert orchestration.outcome.failure.type == "ValueError"


def test_a_poll_that_fails_fails_the_task():
    orchestration = begin()
    poll_after(orchestration, location="/x")
    fed(orchestration, failed(2, ConnectionError("down")))
    assert isinstance(orchestration.outcome, Failed)
    assert orchestration.outcome.failure.type == "ConnectionError"


def test_every_request_is_retried_by_the_policy_and_bounded_by_the_timeout():
    orchestration = begin(retry=ost.RetryPolicy(2, 0), timeout=9)
    [again] = fed(orchestration, failed(0, ConnectionError()))
    assert isinstance(again, ScheduleTask)
    assert (again.attempt, again.timeout) == (2, 9.0)
    fed(orchestration, answer(1, 202, location="/x"))
    [poll] = fed(orchestration, fired(2, 30))
    assert isinstance(poll, ScheduleTask)
    assert poll.timeout == 9.0
    [again] = fed(orchestration, failed(3, ConnectionError()))
    assert isinstance(again, ScheduleTask)
    assert again.first_id == 3


def test_what_a_poll_waits_for_is_told_in_words():
    orchestration = begin()
    assert orchestration.waiting_for() == [f"activity '{HTTP_ACTIVITY}' (task 0)"]
    fed(orchestration, answer(0, 202, location="/x"))
    assert orchestration.waiting_for() == ["the timer due at 2026-03-01 12:00:30 UTC"]


def test_a_location_that_is_no_uri_can_be_caught():
    app = ost.App("http")

    @app.orchestration
    def flow(ctx: ost.OrchestrationContext) -> Flow:
        try:
            yield ctx.call_http("GET", URI)
        except ValueError as error:
            return type(error).__name__
        return None

    orchestration, _ = live(app.registry, turn(), started("flow"))
    fed(orchestration, answer(0, 202, location="http://[bad"))
    fed(orchestration, fired(1, 30))
    assert orchestration.outcome == Completed('"ValueError"')

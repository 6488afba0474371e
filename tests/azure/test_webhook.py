"""The management API as HTTP: how it is found, and that its key is told to nobody."""

from __future__ import annotations

import importlib.util
import json
import logging
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

import ostinato as ost
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure.client import AzureClient
from ostinato_azure.management import Management
from ostinato_azure.webhook import (
    KEY_VARIABLE,
    AzureError,
    UnavailableError,
    Webhook,
    place_of,
    place_of_binding,
)
from tests.azure.test_functions import beside_plain_functions
from tests.conformance.harness import EPOCH

KEY = "s3cret-key"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_app_that_does_not_answer_is_named_and_its_key_is_not():
    client = AzureClient(f"http://127.0.0.1:{free_port()}", key=KEY)
    with pytest.raises(AzureError, match="did not answer: ConnectError") as caught:
        client.get_status("one")
    client.close()
    assert KEY not in str(caught.value)
    assert KEY not in repr(client)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_wrong_key_is_said_to_be_the_matter():
    _, target = beside_plain_functions()
    with FunctionsHost(DirectWorker(target), clock=ManualClock(EPOCH), key=KEY) as host:
        wrong = AzureClient(host.url, key="wrong")
        with pytest.raises(AzureError, match="give the system key"):
            wrong.get_status("one")
        wrong.close()
        right = AzureClient(host.url, key=KEY)
        assert right.list_instances().instances == []
        right.close()


@pytest.mark.parametrize(
    ("rpc", "shown"),
    [
        ("http://127.0.0.1:17071/durabletask/", "http://127.0.0.1:17071/durabletask"),
        ("http://127.0.0.1:50051", "https://app/runtime/webhooks/durabletask"),  # gRPC
    ],
)
def test_inside_an_app_the_binding_says_where_it_is(rpc: str, shown: str):
    status = "https://app/runtime/webhooks/durabletask/instances/ID?taskHub=h&code=k"
    text = json.dumps({"rpcBaseUrl": rpc, "managementUrls": {"statusQueryGetUri": status}})
    webhook = Webhook(place_of_binding(text))
    assert repr(webhook) == f"Webhook({shown!r})"
    webhook.close()


class App:
    """A function app's webhooks that answer as told, and note what was asked and waited for."""

    def __init__(self, *answers: httpx.Response | Exception, key: str | None = KEY) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.pauses: list[float] = []
        self.webhook = Webhook(
            place_of("https://app.example", key),
            transport=httpx.MockTransport(self._answer),
            pause=self.pauses.append,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def throttled(after: str) -> httpx.Response:
    return httpx.Response(429, headers={"Retry-After": after})


def test_a_throttled_request_is_made_again_when_the_app_says() -> None:
    app = App(throttled("7"), httpx.Response(503), throttled("a date"), httpx.Response(200))
    answer = app.webhook.request("POST", "orchestrators", "job", repeatable=False)
    assert (answer.status, answer.is_repeat) == (200, False)
    assert app.pauses == [7.0, 0.2, 0.4]


def test_an_app_that_stays_throttled_is_an_error_after_a_few_tries() -> None:
    app = App(*(throttled("9999") for _ in range(4)))
    with pytest.raises(AzureError, match="answered 429"):
        app.webhook.request("GET", "instances")
    assert app.pauses == [30.0, 30.0, 30.0]


@pytest.mark.parametrize("fault", [httpx.ReadError("cut"), httpx.Response(502)])
def test_a_request_that_got_lost_is_made_again_only_where_that_does_no_harm(
    fault: httpx.Response | Exception,
) -> None:
    app = App(fault, httpx.Response(200))
    assert app.webhook.request("GET", "instances").is_repeat
    app = App(fault)
    with pytest.raises(AzureError, match=r"may have happened|answered 502"):
        app.webhook.request("POST", "orchestrators", "job", repeatable=False)


def test_a_request_that_was_never_sent_is_made_again() -> None:
    app = App(httpx.ConnectError("no"), httpx.Response(200))
    assert not app.webhook.request("POST", "orchestrators", "job", repeatable=False).is_repeat


def test_an_answer_is_waited_for_as_long_as_there_is_time_and_a_second_at_least() -> None:
    app = App(*(httpx.Response(200) for _ in range(3)))
    for within in (5.0, 0.0, None):
        app.webhook.request("GET", "instances", within=within)
    given = [request.extensions["timeout"]["read"] for request in app.asked]
    assert 4.0 < given[0] <= 5.0
    assert given[1:] == [1.0, 60.0]


def test_a_request_is_not_made_again_when_there_is_no_time_for_that() -> None:
    app = App(throttled("1"), throttled("7"))
    with pytest.raises(UnavailableError, match="answered 429"):
        app.webhook.request("GET", "instances", within=5.0)
    assert app.pauses == [1.0]


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_what_urls_leave_out_is_refused_before_anything_is_asked(segment: str) -> None:
    app = App()
    with pytest.raises(ost.UnsupportedError, match=f"cannot be asked for '{segment}'"):
        app.webhook.request("DELETE", "instances", segment)
    assert app.asked == []


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ALL_PROXY", "socks5://user:secret@127.0.0.1:1080", "names no proxy .* 'httpx"),
        ("HTTPS_PROXY", "gopher://user:secret@127.0.0.1", "names no proxy"),
        ("https_proxy", "http://user:secret@127.0.0.1:port", "names no proxy"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem", "names no certificates"),
    ],
)
def test_what_the_environment_says_of_the_way_is_told_by_its_variable_where_it_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)
    if variable == "ALL_PROXY" and importlib.util.find_spec("socksio"):
        pytest.skip("socksio is installed, so that this proxy can be used")
    with pytest.raises(ValueError, match=f"^{variable} {said}") as caught:
        AzureClient("https://app.example")
    assert "secret" not in str(caught.value)
    AzureClient("http://127.0.0.1:7071").close()  # needs neither


def test_an_app_that_takes_too_long_is_not_asked_again() -> None:
    app = App(httpx.ReadTimeout("slow"))
    with pytest.raises(AzureError, match=r"https://app\.example/.* did not answer: ReadTimeout"):
        app.webhook.request("GET", "instances")


def test_a_url_that_is_none_is_an_error_that_names_the_app() -> None:
    app = App()
    for parts, query in ((("instances",), {"reason": "x" * 70_000}), (("x" * 70_000,), {})):
        with pytest.raises(
            AzureError, match=r"https://app\.example/.* cannot be asked for that: .* too long"
        ) as caught:
            app.webhook.request("POST", *parts, query=query)
        assert not caught.value.may_have_happened
        assert len(str(caught.value)) < 200
    assert app.asked == []


@pytest.mark.parametrize(("method", "may_have"), [("GET", False), ("POST", True)])
def test_an_answer_that_cannot_be_read_is_an_error_that_names_the_app(
    method: str, may_have: bool
) -> None:
    text = f"invalid block in {KEY}"
    app = App(httpx.DecodingError(text))
    with pytest.raises(
        AzureError, match=r"https://app\.example/.* cannot be read: DecodingError invalid block"
    ) as caught:
        app.webhook.request(method, "instances")
    assert caught.value.may_have_happened is may_have
    assert KEY not in str(caught.value)


def test_what_went_wrong_on_the_way_is_told_without_the_key() -> None:
    app = App(httpx.ReadTimeout(f"x-functions-key: {KEY}"))
    with pytest.raises(UnavailableError, match="ReadTimeout x-functions-key: …") as caught:
        app.webhook.request("GET", "instances")
    assert KEY not in str(caught.value)


def test_the_key_is_in_no_url_and_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app = App(httpx.Response(400, text=f"?code={KEY}"))
    with pytest.raises(AzureError) as caught:
        app.webhook.request("GET", "instances")
    (asked,) = app.asked
    assert asked.headers["x-functions-key"] == KEY
    for told in (str(asked.url), caplog.text, str(caught.value), repr(app.webhook)):
        assert KEY not in told


@pytest.mark.parametrize("key", [KEY, "base64/==", KEY * 20])
@pytest.mark.parametrize("before", [*range(480, 501), 0, 95])
def test_no_half_of_a_key_is_told(key: str, before: int) -> None:
    text = f"{'.' * before}{key}{quote(key, safe='')} {key}" + "." * 600 + key

    def told(status: int, body: str) -> str:
        app = App(httpx.Response(status, text=body), key=key)
        with pytest.raises(AzureError) as caught:
            Management(app.webhook).find("one")
        return str(caught.value)

    for status, body in ((200, text), (500, f'"{text}"'), (400, text)):
        assert not set(told(status, body).partition(": ")[2]) & set("s3cre-kybas64/")


@pytest.mark.parametrize(("key", "said"), [(None, "asks for a key"), (KEY, "not take the key")])
@pytest.mark.parametrize("status", [401, 403])
def test_no_key_and_a_wrong_key_are_told_apart(key: str | None, said: str, status: int) -> None:
    with pytest.raises(AzureError, match=f"{said}: give the system key .* {KEY_VARIABLE}"):
        App(httpx.Response(status), key=key).webhook.request("GET", "instances")


def test_what_is_no_management_api_is_said_to_be_none() -> None:
    answer = App(httpx.Response(200, text="<html>")).webhook.request("GET", "instances")
    with pytest.raises(AzureError, match="not the management API"):
        answer.json()


def test_json_that_is_too_deep_to_read_is_no_management_apis() -> None:
    deep = httpx.Response(200, text="[" * 100_000 + "]" * 100_000)
    with pytest.raises(AzureError, match="not the management API"):
        Management(App(deep).webhook).find("one")


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_web_page_is_said_to_come_from_no_management_api(status: int) -> None:
    page = httpx.Response(status, html="<h1>Error 403 - This web app is stopped.</h1>")
    with pytest.raises(AzureError, match=f"answered {status} with a web page"):
        App(page).webhook.request("GET", "instances", "x", allowed=(200, 404))


def test_an_error_of_the_extension_itself_is_told_as_it_is() -> None:
    fault = httpx.Response(500, json={"Message": "Something went wrong"})
    with pytest.raises(AzureError, match=r"answered 500: .*Something went wrong"):
        Management(App(fault).webhook).find("one")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_is_told_from_what_is_wrong(status: int) -> None:
    app = App(*(httpx.Response(status, html="<h1>busy</h1>") for _ in range(4)))
    with pytest.raises(UnavailableError, match=f"answered {status}"):
        app.webhook.request("GET", "instances")
    with pytest.raises(AzureError) as caught:
        App(httpx.Response(500)).webhook.request("GET", "instances")
    assert not isinstance(caught.value, UnavailableError)


BASE = "https://app.example/runtime/webhooks/durabletask"


@pytest.mark.parametrize(
    ("url", "base", "key", "query"),
    [
        ("https://app.example", BASE, None, {}),
        (" https://app.example/ ", BASE, None, {}),
        (BASE, BASE, None, {}),
        (f"{BASE}/instances/one?taskHub=h&code=k&reason=", BASE, "k", {"taskHub": "h"}),
        (f"{BASE}?connection=c", BASE, None, {"connection": "c"}),
        ("http://127.0.0.1:17071/durabletask/", "http://127.0.0.1:17071/durabletask", None, {}),
    ],
)
def test_an_app_is_found_by_any_of_its_urls(
    url: str, base: str, key: str | None, query: dict[str, str]
) -> None:
    place = place_of(url)
    assert (place.base, place.key, place.query) == (base, key, query)


@pytest.mark.parametrize("url", ["http://app.example", f"http://app.example?code={KEY}"])
def test_a_key_that_would_be_sent_in_the_clear_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with pytest.raises(
        ValueError, match=r"http://app\.example .* in the clear: .* https"
    ) as caught:
        place_of(url)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost:7071", "127.0.0.1", "[::1]:7071"])
def test_on_the_way_to_this_machine_a_key_may_be_in_the_clear(host: str) -> None:
    assert place_of(f"http://{host}", KEY).base.startswith(f"http://{host}/")


def test_without_a_key_and_inside_the_app_there_is_nothing_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert place_of("http://app.example").key is None
    status = f"http://app.example/runtime/webhooks/durabletask/instances/ID?code={KEY}"
    binding = {"rpcBaseUrl": "http://127.0.0.1:5", "managementUrls": {"statusQueryGetUri": status}}
    assert place_of_binding(json.dumps(binding)).key == KEY


def test_the_key_and_the_hub_given_go_before_those_in_the_url_and_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "from-environment\n")
    assert place_of(BASE).key == "from-environment"
    assert place_of(f"{BASE}?code=from-url").key == "from-url"
    place = place_of(f"{BASE}?code=from-url&taskHub=theirs", "given", "mine")
    assert (place.key, place.query) == ("given", {"taskHub": "mine"})


@pytest.mark.parametrize(
    "make",
    [
        lambda: place_of(f"app.example?code={KEY}"),
        lambda: place_of(f"ftp://app.example?code={KEY}"),
        lambda: place_of(f"https://user:{KEY}@app.example"),
        lambda: place_of(f"https://[app?code={KEY}"),
        lambda: place_of("https://app.example", f"{KEY}\n{KEY}"),
        lambda: place_of_binding(f'{{"managementUrls": "{KEY}"}}'),
        lambda: place_of_binding(f'{{"{KEY}'),
        lambda: place_of_binding("[]"),
    ],
)
def test_what_names_no_app_is_refused_and_no_key_told(make: Callable[[], Any]) -> None:
    with pytest.raises(
        ValueError, match=r"function app is like|the key has|durableClient"
    ) as caught:
        make()
    assert KEY not in str(caught.value)


def test_a_binding_on_another_hub_says_so() -> None:
    text = json.dumps({"rpcBaseUrl": "http://127.0.0.1:17071/durabletask/", "taskHubName": "h"})
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        return httpx.Response(200)

    webhook = Webhook(place_of_binding(text), transport=httpx.MockTransport(answer))
    webhook.request("GET", "instances")
    webhook.close()
    assert asked == ["taskHub=h"]

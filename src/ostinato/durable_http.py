"""Durable HTTP: requests as activities, long operations followed by durable timers.

The long-running operation pattern is that of Durable Functions' call_http: a 202 answer
with a Location is polled after its Retry-After until another status comes.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict
from urllib.parse import urljoin, urlsplit

from ostinato.codec import encode
from ostinato.definitions import HTTP_ACTIVITY
from ostinato.errors import OstinatoError
from ostinato.failures import error_from, failure_of
from ostinato.retry import RetryPolicy
from ostinato.tasks import Group, HostTask, Task
from ostinato.tokens import resource_of, token_for

if TYPE_CHECKING:
    from types import FrameType

    from ostinato.context import OrchestrationContext

_LONGEST_PAUSE = 86_400.0
"""Seconds between polls, whatever a server asks for."""

_DEFAULT_TIMEOUT = 100.0
"""Seconds; that of .NET's HttpClient, and so of Durable Functions."""


_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class DurableHttpRequest(TypedDict):
    """A request as it stands in history: no secrets."""

    method: str
    uri: str
    content: str | None
    headers: dict[str, str]
    header_env: dict[str, str]
    token_resource: NotRequired[str]


class DurableHttpResponse(TypedDict):
    """An answer; the keys are those that 1.x gives. Header names are lower-case."""

    statusCode: int
    headers: dict[str, str]
    content: str


def request_of(
    method: str,
    uri: str,
    content: Any,
    headers: Mapping[str, str] | None,
    header_env: Mapping[str, str] | None,
    token_source: Any,
    is_raw_str: bool,
) -> DurableHttpRequest:
    """Check and gather a request; the body is JSON unless it is a raw text, as in 1.x.

    Raises:
        TypeError: A raw text was promised and something else given, or no token source.
        ValueError: The URI is not absolute http or https, or a token would go unencrypted.
    """
    if urlsplit(uri).scheme not in ("http", "https") or not urlsplit(uri).netloc:
        raise ValueError(f"call_http needs an absolute http or https URI, not {uri!r}")
    if is_raw_str and not isinstance(content, str):
        raise TypeError(f"is_raw_str needs content that is a str, not {type(content).__name__}")
    sent = dict(headers or {})
    body = content
    if content is not None and not is_raw_str:
        body = encode(content, "content of call_http")
        if "content-type" not in {name.lower() for name in sent}:
            sent["content-type"] = "application/json"
    request: DurableHttpRequest = {
        "method": method.upper(),
        "uri": uri,
        "content": body,
        "headers": sent,
        "header_env": dict(header_env or {}),
    }
    if token_source is not None:
        request["token_resource"] = resource_of(token_source)
        if urlsplit(uri).scheme != "https" and urlsplit(uri).hostname not in _THIS_MACHINE:
            raise ValueError(f"a token goes over https, or to this machine; {uri!r} is neither")
    return request


def perform(request: DurableHttpRequest) -> DurableHttpResponse:
    """Make one request; the activity behind call_http.

    Raises:
        OstinatoError: httpx is not installed, an environment variable is not set, or there is
            no token.
        httpx.HTTPError: No answer came.
    """
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise OstinatoError("call_http needs httpx: pip install 'ostinato[http]'") from error
    headers = dict(request["headers"])
    for name, variable in request["header_env"].items():
        if variable not in os.environ:
            raise OstinatoError(
                f"header {name!r} is to come from environment variable {variable!r}, "
                "which is not set where the request is made"
            )
        headers[name] = os.environ[variable]
    if "token_resource" in request:
        headers = {n: value for n, value in headers.items() if n.lower() != "authorization"}
        headers["Authorization"] = f"Bearer {token_for(request['token_resource'])}"
    answer = httpx.request(
        request["method"],
        request["uri"],
        content=request["content"],
        headers=headers,
        timeout=_DEFAULT_TIMEOUT,
    )
    return {
        "statusCode": answer.status_code,
        "headers": {name.lower(): value for name, value in answer.headers.items()},
        "content": answer.text,
    }


class HttpTask(Group[DurableHttpResponse]):
    """A request and the polls that follow it, as one task."""

    __slots__ = ("_failed", "_response", "_site", "_steps")

    def __init__(
        self,
        context: OrchestrationContext,
        request: DurableHttpRequest,
        poll_interval: float | None,
        retry: RetryPolicy | None,
        timeout: float | timedelta | None,
        frame: FrameType,
    ) -> None:
        super().__init__(context._execution, ())
        self._failed: Exception | None = None
        self._response: DurableHttpResponse | None = None
        self._site = frame.f_code, frame.f_lasti
        self._steps = _follow(context, request, poll_interval, retry, timeout)
        self._await(next(self._steps))

    def _await(self, step: Task[Any]) -> None:
        if isinstance(step, HostTask):
            step._code, step._instruction = self._site  # the caller's line, not one of ours
        self._children = (step,)
        step._watch(self)

    def _child_finished(self, child: Task[Any]) -> None:
        self._failed = child._error()
        if self._failed is not None:
            self._finish()
            return
        try:
            self._await(self._steps.send(child._value()))
        except StopIteration as stop:
            self._response = stop.value
            self._finish()
        except Exception as error:  # an answer that makes no sense, e.g. a Location that is no URI
            self._failed = error_from(failure_of(error, task=HTTP_ACTIVITY), {})
            self._finish()

    def _value(self) -> DurableHttpResponse:
        assert self._response is not None
        return self._response

    def _error(self) -> Exception | None:
        return self._failed


def _follow(
    context: OrchestrationContext,
    request: DurableHttpRequest,
    poll_interval: float | None,
    retry: RetryPolicy | None,
    timeout: float | timedelta | None,
) -> Generator[Task[Any], Any, DurableHttpResponse]:
    response: DurableHttpResponse = yield context.call_activity(
        HTTP_ACTIVITY, request, retry=retry, timeout=timeout
    )
    uri = request["uri"]
    while poll_interval is not None and response["statusCode"] == 202:
        location = response["headers"].get("location")
        if not location:
            return response
        pause = _retry_after(response["headers"], context.current_utc_datetime, poll_interval)
        yield context.create_timer(timedelta(seconds=pause))
        uri = urljoin(uri, location)
        poll = _poll(request, uri)
        response = yield context.call_activity(HTTP_ACTIVITY, poll, retry=retry, timeout=timeout)
    return response


def _poll(request: DurableHttpRequest, uri: str) -> DurableHttpRequest:
    """A poll; what may be a credential goes to the server it was meant for, and to no other."""
    poll: DurableHttpRequest = {
        "method": "GET",
        "uri": uri,
        "content": None,
        "headers": {},
        "header_env": {},
    }
    first, then = urlsplit(request["uri"]), urlsplit(uri)
    if (first.scheme, first.netloc) == (then.scheme, then.netloc):
        headers = request["headers"].items()
        poll["headers"] = {n: value for n, value in headers if n.lower() != "content-type"}
        poll["header_env"] = request["header_env"]
        if "token_resource" in request:
            poll["token_resource"] = request["token_resource"]
    return poll


def _retry_after(headers: dict[str, str], now: datetime, default: float) -> float:
    """Seconds to wait, from a Retry-After of seconds or of a date (RFC 9110, 10.2.3)."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_PAUSE)
    if text:
        from email.utils import parsedate_to_datetime

        try:
            due = parsedate_to_datetime(text)
        except ValueError:
            return default
        due = due.replace(tzinfo=UTC) if due.tzinfo is None else due
        return min(max(0.0, (due - now).total_seconds()), _LONGEST_PAUSE)
    return default

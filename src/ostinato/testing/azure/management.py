"""The HTTP management API of the Durable extension, as an ASGI application.

Statuses, headers and bodies are those recorded from extension 3.15. Routes match in any case, as
do names in the query; a route or verb that is unknown is 404 with an empty body.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ostinato.testing.azure.binding import Webhook
from ostinato.testing.azure.dotnet import json_text, time_of
from ostinato.testing.azure.hub import TaskHub
from ostinato.testing.azure.hub_errors import (
    HubError,
    InstanceInUse,
    InstanceOver,
    InstanceUnknown,
    WrongState,
)
from ostinato.testing.azure.instance import InstanceState
from ostinato.testing.azure.management_view import history_events, status_object
from ostinato.testing.azure.status import Status

WEBHOOK = "/runtime/webhooks/durabletask"
"""Where the public end is."""

_JSON = "application/json; charset=utf-8"
_TOKEN = "x-ms-continuation-token"
_TRAILING = "Something went wrong while processing your request"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the handlers read it."""

    path: Mapping[str, str]
    """What the route's placeholders stand for."""
    query: Mapping[str, str]
    """By name in lower case; what is repeated is joined by commas."""
    headers: Mapping[str, str]
    url: str
    body: bytes
    webhook: Webhook

    def flag(self, name: str, default: bool = False) -> bool:
        """A parameter that is true or false; anything else is as if it were not there."""
        return {"true": True, "false": False}.get(self.query.get(name, "").lower(), default)

    def number(self, name: str) -> float | None:
        """A parameter that is a number."""
        try:
            return float(self.query[name])
        except (KeyError, ValueError):
            return None

    def time(self, name: str) -> datetime | None:
        """A parameter that is a time."""
        try:
            return time_of(self.query[name])
        except (KeyError, ValueError):
            return None

    @property
    def statuses(self) -> list[Status]:
        """``runtimeStatus``; names that are none are passed over."""
        named = self.query.get("runtimestatus", "").lower().split(",")
        return [status for status in Status if status.name.lower() in named]


class ManagementApi:
    """The API over a task hub.

    Args:
        hub: Whose instances these are.
        prefix: Where it is mounted: what to take off the paths of requests.
        key: The key that URLs hold as ``code``.
        is_guarded: Whether requests must show the key, by ``code`` or ``x-functions-key``.
    """

    def __init__(
        self, hub: TaskHub, *, prefix: str = WEBHOOK, key: str = "", is_guarded: bool = False
    ) -> None:
        self._hub = hub
        self._prefix = prefix.lower()
        self._key = key
        self._is_guarded = is_guarded
        self._routes: list[tuple[str, re.Pattern[str], Callable[[Asked], Response]]] = [
            ("POST", _route("orchestrators/{name}"), self._start),
            ("POST", _route("orchestrators/{name}/{id}"), self._start),
            ("GET", _route("instances"), self._list),
            ("DELETE", _route("instances"), self._purge_many),
            ("GET", _route("instances/{id}"), self._status),
            ("DELETE", _route("instances/{id}"), self._purge),
            ("POST", _route("instances/{id}/raiseEvent/{event}"), self._raise_event),
            ("POST", _route("instances/{id}/terminate"), self._steer(hub.terminate)),
            ("POST", _route("instances/{id}/suspend"), self._steer(hub.suspend)),
            ("POST", _route("instances/{id}/resume"), self._steer(hub.resume)),
            ("POST", _route("instances/{id}/rewind"), self._rewind),
            ("POST", _route("instances/{id}/restart"), self._restart),
            ("GET", _route("entities"), lambda asked: _page([], None)),
            ("GET", _route("entities/{name}"), lambda asked: _page([], None)),
            ("GET", _route("entities/{name}/{key}"), self._entity),
            ("POST", _route("entities/{name}/{key}"), self._signal),
            ("DELETE", _route("entities/{name}/{key}"), self._delete_entity),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._respond(request, await request.body())
        await response(scope, receive, send)

    async def _respond(self, request: Request, body: bytes) -> Response:
        query = dict[str, str]()
        for name, value in request.query_params.multi_items():
            name = name.lower()
            query[name] = f"{query[name]},{value}" if name in query else value
        if self._is_guarded and not self._is_allowed(request, query):
            return Response(status_code=401)
        raw = scope_path(request.scope)
        path = raw[len(self._prefix) :] if raw.lower().startswith(self._prefix) else raw
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(path)
            if found is not None and method == request.method:
                asked = Asked(
                    path={name: unquote(value) for name, value in found.groupdict().items()},
                    query=query,
                    headers=request.headers,
                    url=str(request.url),
                    body=body,
                    webhook=self._webhook(request, query),
                )
                return await run_in_threadpool(_answered, handler, asked)
        return Response(status_code=404)

    def _is_allowed(self, request: Request, query: Mapping[str, str]) -> bool:
        shown = request.headers.get("x-functions-key") or query.get("code", "")
        return hmac.compare_digest(shown.encode(), self._key.encode())

    def _webhook(self, request: Request, query: Mapping[str, str]) -> Webhook:
        origin = f"{request.url.scheme}://{request.url.netloc}"
        return Webhook(
            base=origin + WEBHOOK,
            hub=query.get("taskhub", self._hub.name),
            connection=query.get("connection", self._hub.options.connection),
            code=self._key,
        )

    # Instances.

    def _start(self, asked: Asked) -> Response:
        input = None
        if asked.body.strip():
            input, refused = _body(asked)
            if refused is not None:
                return refused
        try:
            instance_id = self._hub.start(
                asked.path["name"], input, instance_id=asked.path.get("id")
            )
        except InstanceInUse as error:
            return _message(409, str(error))
        return self._started(asked, instance_id)

    def _started(self, asked: Asked, instance_id: str) -> Response:
        """Wait if that is wanted; else, and when time is up, tell where to ask."""
        timeout, interval = asked.number("timeout"), asked.number("pollinginterval")
        is_strict = asked.flag("returninternalservererroronfailure")
        if timeout is not None and interval is not None:
            if interval > timeout:  # found out after the start, as by the extension
                told = f"Total timeout {timeout:g} should be bigger than retry timeout {interval:g}"
                return _message(400, told)
            try:
                state = self._hub.wait(instance_id, timeout)
            except TimeoutError:
                pass
            else:
                if state.status is Status.Completed:
                    return _json(200, status_object(state)["output"])
                return _state(asked, state, is_strict)
        links = asked.webhook.links(instance_id, is_failure_an_error=is_strict)
        location = {"Location": links["statusQueryGetUri"], "Retry-After": "10"}
        return _json(202, links, location)

    def _status(self, asked: Asked) -> Response:
        try:
            state = self._hub.get(asked.path["id"])
        except InstanceUnknown:
            return Response(status_code=404)
        return _state(asked, state, asked.flag("returninternalservererroronfailure"))

    def _list(self, asked: Asked) -> Response:
        page = self._hub.list_instances(
            statuses=asked.statuses,
            created_from=asked.time("createdtimefrom"),
            created_to=asked.time("createdtimeto"),
            prefix=asked.query.get("instanceidprefix", ""),
            top=int(asked.number("top") or 100),
            token=asked.headers.get(_TOKEN) or None,
        )
        return _page([status_object(state) for state in page.instances], page.token)

    def _purge(self, asked: Asked) -> Response:
        try:
            self._hub.purge(asked.path["id"])
        except InstanceUnknown:
            return Response(status_code=404)
        return _json(200, {"instancesDeleted": 1})

    def _purge_many(self, asked: Asked) -> Response:
        created_from = asked.time("createdtimefrom")
        if created_from is None:
            return _json(400, "Please provide value for 'createdTimeFrom' parameter.")
        count = self._hub.purge_many(
            created_from=created_from,
            created_to=asked.time("createdtimeto"),
            statuses=asked.statuses,
        )
        return _json(200, {"instancesDeleted": count}) if count else Response(status_code=404)

    def _raise_event(self, asked: Asked) -> Response:
        """The instance is looked at before the body is."""
        try:
            if self._hub.get(asked.path["id"]).status.finished:
                return Response(status_code=410)
            if "application/json" not in asked.headers.get("content-type", "").lower():
                return _message(400, "Only application/json request content is supported")
            input, refused = _body(asked)
            if refused is not None:
                return refused
            self._hub.raise_event(asked.path["id"], asked.path["event"], input)
        except InstanceUnknown:
            return Response(status_code=404)
        except InstanceOver:
            return Response(status_code=410)
        return Response(status_code=202)

    def _steer(self, verb: Callable[[str, str | None], None]) -> Callable[[Asked], Response]:
        def handle(asked: Asked) -> Response:
            try:
                verb(asked.path["id"], asked.query.get("reason"))
            except InstanceUnknown:
                return Response(status_code=404)
            except InstanceOver:
                return Response(status_code=410)
            return Response(status_code=202)

        return handle

    def _rewind(self, asked: Asked) -> Response:
        try:
            self._hub.rewind(asked.path["id"], asked.query.get("reason"))
        except InstanceUnknown:
            return Response(status_code=404)
        except WrongState as error:
            told = f"This orchestration has status {error.status.name}, but only orchestrations"
            return _json(412, f'{told} in the "Failed" state can be rewound.')
        return Response(status_code=202)

    def _restart(self, asked: Asked) -> Response:
        instance_id = asked.path["id"]
        try:
            new = self._hub.restart(
                instance_id, new_id=asked.flag("restartwithnewinstanceid", default=True)
            )
        except InstanceUnknown as error:
            return _exception(
                400,
                "InstanceId does not match a valid orchestration instance.",
                f"{error} (Parameter 'instanceId')",
                "System.ArgumentException",
            )
        except InstanceInUse as error:
            return _exception(
                409,
                "A non-terminal instance with this instance ID already exists.",
                str(error),
                "DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException",
            )
        return self._started(asked, new)

    # Entities.

    def _entity(self, asked: Asked) -> Response:
        state = self._hub.entity_state(asked.path["name"], _key(asked))
        return Response(status_code=404) if state is None else _text(200, state)

    def _signal(self, asked: Asked) -> Response:
        name = asked.path["name"]
        if not self._hub.has_entity_function(name):
            told = (
                f"The function '{name}' doesn't exist, is disabled, or is not an entity function."
            )
            return _message(400, f"{told}")
        input = None
        if asked.body.strip():
            input = asked.body.decode()
            if "application/json" in asked.headers.get("content-type", "").lower():
                _, refused = _body(asked)
                if refused is not None:
                    return refused
            else:
                input = json_text(input)
        self._hub.signal_entity(name, _key(asked), asked.query.get("op", ""), input)
        return Response(status_code=202)

    def _delete_entity(self, asked: Asked) -> Response:
        self._hub.signal_entity(asked.path["name"], _key(asked), "delete")
        return Response(status_code=202)


def scope_path(scope: Scope) -> str:
    """The path as it was sent, quoted and with everything that it is mounted under."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1")


def _route(template: str) -> re.Pattern[str]:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
    return re.compile(f"/{pattern}/?", re.IGNORECASE)


def _answered(handler: Callable[[Asked], Response], asked: Asked) -> Response:
    """What nobody foresaw is 500, as from the extension."""
    try:
        return handler(asked)
    except HubError as error:
        return _exception(500, _TRAILING, str(error), "System.InvalidOperationException")
    except ValueError as error:
        told = "One or more of the arguments submitted is incorrect"
        return _exception(400, told, str(error), "System.ArgumentException")


def _body(asked: Asked) -> tuple[str | None, Response | None]:
    """The body as JSON text, else the answer that refuses it."""
    try:
        text = asked.body.decode()
        json.loads(text)
    except ValueError as error:
        kind = "Newtonsoft.Json.JsonReaderException"
        return None, _exception(400, "Invalid JSON content", str(error), kind)
    return text, None


def _key(asked: Asked) -> str:
    key = asked.path["key"]
    return "" if key == "$" else key


def _state(asked: Asked, state: InstanceState, is_strict: bool) -> Response:
    shown = status_object(state)
    if asked.flag("showhistory") and state.status is not Status.Pending:
        shown["historyEvents"] = history_events(
            state.history,
            show_input=asked.flag("showinput", default=True),
            show_output=asked.flag("showhistoryoutput"),
        )
    if state.status.finished:
        return _json(500 if is_strict and state.status is Status.Failed else 200, shown)
    return _json(202, shown, {"Location": asked.url, "Retry-After": "5"})


def _page(shown: list[dict[str, Any]], token: str | None) -> Response:
    return _json(200, shown, {_TOKEN: token or ""})


def _json(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    return _text(status, json_text(value), headers)


def _text(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text, status, {**(headers or {}), "Content-Type": _JSON})


def _message(status: int, message: str) -> Response:
    return _json(status, {"Message": message})


def _exception(status: int, message: str, told: str, kind: str) -> Response:
    body = {
        "Message": message,
        "ExceptionMessage": told,
        "ExceptionType": kind,
        "StackTrace": "",
    }
    return _json(status, body)

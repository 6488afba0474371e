"""What starts an orchestration on Azure: HTTP requests, queue messages, blobs and schedules.

Each event becomes the trigger event that every host makes of it, which gives the instance its id.
By the app's records, in its own storage, a redelivered event starts nothing twice; where the app
has no storage, nothing while the instance is known.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from ostinato.app import App
from ostinato.errors import CodecError
from ostinato.ids import derived_id
from ostinato.triggers import (
    BlobCreated,
    HttpRequest,
    QueueMessage,
    Schedule,
    ScheduleTick,
    TriggerEvent,
    instance_id_for,
)
from ostinato_azure.claims import app_claims
from ostinato_azure.client import AzureClient
from ostinato_azure.records import app_records
from ostinato_azure.webhook import place_of_binding

if TYPE_CHECKING:
    from ostinato.triggers import HttpAuth

_logger = logging.getLogger(__name__)

_JSON_TYPE = re.compile(r"\s*application/([\w.-]+\+)?json\s*(;|$)", re.IGNORECASE)


def http_request(request: Any) -> HttpRequest:
    """Return a request to a route as all hosts have it."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return HttpRequest(
        method=request.method,
        path=urlsplit(str(request.url)).path.removeprefix("/").removeprefix("api/"),
        params=dict(request.route_params),
        query=dict(request.params),
        headers=headers,
        body=request.get_body(),
        idempotency_key=headers.get("idempotency-key"),
    )


def is_allowed(auth: HttpAuth | None, request: HttpRequest) -> bool:
    """Whether the caller shows what the webhook asks for; a secret not set opens nothing, nor
    does the signature of no body, which would open every path.

    The log says which one that is, once; the caller is not told.
    """
    if auth is None:
        return True
    key = os.environ.get(auth.key_env, "") if auth.key_env else ""
    shown = request.headers.get("x-functions-key") or request.query.get("code", "")
    if key and hmac.compare_digest(shown.encode(), key.encode()):
        return True
    secret = os.environ.get(auth.hmac_env, "") if auth.hmac_env else ""
    signature = "sha256=" + hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    given = request.headers.get("x-hub-signature-256", "")
    if secret and request.body and hmac.compare_digest(given.encode(), signature.encode()):
        return True
    for variable in (auth.key_env, auth.hmac_env):
        if variable and not os.environ.get(variable):
            _warn_unset(variable)
    return False


@cache
def _warn_unset(variable: str) -> None:
    _logger.warning(
        "%s is not set: a webhook takes its secret from this environment variable (app setting), "
        "and refuses whoever shows one",
        variable,
    )


def queue_message(message: Any) -> QueueMessage:
    """Return a message of a queue as all hosts have it."""
    return QueueMessage(
        id=str(message.id),
        body=message.get_body().decode("utf-8", "replace"),
        dequeue_count=message.dequeue_count or 1,
        inserted_at=message.insertion_time,
    )


def blob_created(blob: Any) -> BlobCreated:
    """Return a blob as all hosts have it."""
    container, _, name = str(blob.name).partition("/")
    version = _version(blob.blob_properties or {}, blob.length)
    return BlobCreated(
        container=container, name=name, version=version, size=blob.length, uri=blob.uri
    )


def _version(told: dict[str, Any], length: int | None) -> str:
    """What tells a blob's versions apart: its etag, without quotes.

    A host may write the etag as an object with nothing in it, since its type has no public
    properties. Then it is the time of the last change, in whole seconds, with what is told of the
    content.
    """
    etag = told.get("ETag")
    if isinstance(etag, str) and etag.strip('"'):
        return etag.strip('"')
    parts = (told.get("LastModified"), length, told.get("ContentHash"))
    return " ".join(str(part) for part in parts if part is not None)


LOOK_BACK = timedelta(minutes=5)
"""Ticks of the last minutes are started as well, in case a run failed: once each, by id."""

MOST_TICKS = 100
"""Ticks that one run of a timer starts at most; what is left of an outage is for the next."""


def ticks(name: str, schedule: Schedule, since: datetime, now: datetime) -> list[ScheduleTick]:
    """Return the ticks of a schedule after ``since`` and until ``now``, oldest first.

    There are `MOST_TICKS` at most.
    """
    from zoneinfo import ZoneInfo

    from cronsim import CronSim

    times = CronSim(schedule.cron, since.astimezone(ZoneInfo(schedule.timezone)))
    due = takewhile(lambda at: at <= now, times)
    return [
        ScheduleTick(name=f"{name}:{schedule.cron}", at=at.astimezone(UTC))
        for at in islice(due, MOST_TICKS)
    ]


def start_due(
    name: str, schedule: Schedule, now: datetime, binding: str, app: App, *, seen: datetime
) -> None:
    """Start the orchestration for the ticks that are due at ``now``.

    A schedule begins with the minute in which it is first seen. Then it goes on from the last tick
    it handled: however long ago that was if it catches up, else no longer than `LOOK_BACK`. Where
    the app has no storage nothing is known of it, and each run looks back so far.

    Args:
        name: The orchestration.
        schedule: Its.
        now: The time.
        binding: That of the durable client.
        app: The application.
        seen: When this process saw the schedule; its first run, or the first that did not fail,
            may be later by `LOOK_BACK`.

    Raises:
        RecordError: What was handled last cannot be read or written.
        AzureError: The app's own management API does not answer.
    """
    recent = now - LOOK_BACK
    records = app_records(_hub(binding))
    if records is None:
        for tick in ticks(name, schedule, recent, now):
            start(name, tick, binding, app)
        return
    key = derived_id(name, schedule.cron, schedule.timezone)
    minute_before = seen.replace(second=0, microsecond=0) - timedelta(minutes=1)
    last = records.last_tick(key, max(minute_before, recent))
    due = ticks(name, schedule, last.at if schedule.catch_up else max(last.at, recent), now)
    for tick in due:
        start(name, tick, binding, app)
    if due:
        records.set_last_tick(key, due[-1].at, last)


def input_of(event: TriggerEvent) -> Any:
    """What an orchestration started by an event gets as input.

    A request's body, as JSON where it is JSON; without one the route's only parameter, or all of
    them. A message's body, likewise. A blob as an object with ``container``, ``name``,
    ``version``, ``size`` and ``uri``. A tick as an object with ``name``, which is the schedule's,
    and ``at``, the time when it was due, ISO 8601, in UTC.

    Raises:
        CodecError: A request says that its body is JSON, and it is none.
    """
    if isinstance(event, HttpRequest):
        if event.body:
            if _JSON_TYPE.match(event.headers.get("content-type", "")):
                return _json(event.body)
            return _value(event.body.decode("utf-8", "replace"))
        values = list(event.params.values())
        return values[0] if len(values) == 1 else event.params or None
    if isinstance(event, QueueMessage):
        return _value(event.body)
    described: dict[str, Any] = msgspec.to_builtins(event)
    described.pop("type")
    return described


def start(name: str, event: TriggerEvent, binding: str, app: App) -> str:
    """Start the orchestration for an event, once, and return its instance id.

    Raises:
        CodecError: The event gives no input for it.
    """
    given = input_of(event)
    known = instance_id_for(name, event)
    instance_id = known or uuid4().hex
    client = AzureClient.from_binding(binding, app=app, claims=app_claims())
    begin = partial(client.start, name, given, instance_id=instance_id, if_exists="attach")
    records = None if known is None else app_records(_hub(binding))
    try:
        if records is None:
            begin()
        else:
            records.once(instance_id, begin)
    finally:
        client.close()
    return instance_id


def _hub(binding: str) -> str:
    """The task hub that a durable client's binding reaches."""
    return place_of_binding(binding).query.get("taskHub", "default")


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CodecError(f"the body is no JSON: {error}") from None


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text

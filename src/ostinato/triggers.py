"""Triggers: what starts an orchestration, as data that each host binds in its own way.

Every event leads to the same instance id wherever and however often it is delivered, so a
redelivered one starts nothing twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias, assert_never

import msgspec

from ostinato.arguments import note, several
from ostinato.errors import RegistrationError
from ostinato.ids import derived_id

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class HttpAuth(msgspec.Struct, frozen=True):
    """What a webhook's caller must show; with both, either is enough.

    Secrets are not kept here: each field names the environment variable that holds one.
    """

    key_env: str | None = None
    """The key expected in the ``x-functions-key`` header or the ``code`` query parameter."""
    hmac_env: str | None = None
    """The secret of the body's HMAC-SHA256, expected as ``sha256=<hex>`` in
    ``x-hub-signature-256``."""

    def __post_init__(self) -> None:
        named = {"key_env": self.key_env, "hmac_env": self.hmac_env}
        if not any(named.values()):
            raise RegistrationError("HttpAuth needs key_env=... or hmac_env=...")
        for field, name in named.items():
            # The value is not shown: it may be the secret itself.
            if name is not None and not _is_variable(name):
                raise RegistrationError(
                    f"{field} must be the name of an environment variable (letters, digits and "
                    "'_'), never the secret itself"
                )


def _is_variable(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


class Http(msgspec.Struct, frozen=True):
    """A request to ``/api/<route>`` starts an instance.

    ``{name}`` in place of a path segment is a parameter. Methods are kept in upper case,
    and in an order of their own: versions that declare the same ones declare them alike.
    """

    route: str
    methods: tuple[str, ...] = ("POST",)
    auth: HttpAuth | None = None

    def __post_init__(self) -> None:
        note(self.route, "HTTP route")
        label = f"HTTP route {self.route!r}"
        if self.route.startswith("/"):
            raise RegistrationError(f"{label} begins with '/'; write {self.route.lstrip('/')!r}")
        for segment in self.route.split("/"):
            if re.fullmatch(r"\{.*\}|[A-Za-z0-9._~-]+", segment) is None:
                raise RegistrationError(
                    f"{label} has the segment {segment!r}; a segment is one {{parameter}}, or "
                    "letters, digits and '-', '.', '_', '~'"
                )
        _pieces(self.route, label)
        methods = [note(m, f"method of {label}").upper() for m in several(self.methods)]
        unknown = [method for method in methods if method not in _METHODS]
        if unknown or not methods:
            shown = f"the unknown method {unknown[0]!r}" if unknown else "no method"
            raise RegistrationError(f"{label} has {shown}; methods are {', '.join(_METHODS)}")
        msgspec.structs.force_setattr(self, "methods", tuple(m for m in _METHODS if m in methods))
        auth: Any = self.auth
        if not isinstance(auth, HttpAuth | None):
            # The value is not shown: it may be the secret itself.
            raise TypeError(
                f"auth of {label} is an HttpAuth, which names environment variables, "
                f"not {type(auth).__name__}"
            )


class Queue(msgspec.Struct, frozen=True):
    """A message in a queue starts an instance."""

    name: str

    def __post_init__(self) -> None:
        _check_name(self.name, "queue")


class Blob(msgspec.Struct, frozen=True):
    """A new or changed blob starts an instance. For patterns see `match_blob`."""

    pattern: str

    def __post_init__(self) -> None:
        note(self.pattern, "blob pattern")
        label = f"blob pattern {self.pattern!r}"
        container, _, path = self.pattern.partition("/")
        if not path:
            raise RegistrationError(
                f"{label} names no blob; write a container and a path, as in 'incoming/{{name}}'"
            )
        if "{" in container:
            raise RegistrationError(f"{label} has a parameter in place of its container")
        _check_name(container, "container")
        _pieces(self.pattern, label)


class Schedule(msgspec.Struct, frozen=True):
    """Each tick of a cron expression starts an instance.

    Args:
        cron: Five fields: minute, hour, day of month, month, day of week.
        timezone: IANA name of the zone whose clock is meant.
        catch_up: Whether ticks missed while no host ran are made up for.
    """

    cron: str
    timezone: str = "UTC"
    catch_up: bool = False

    def __post_init__(self) -> None:
        _check_cron(self.cron)
        _check_timezone(self.timezone)


Trigger: TypeAlias = Http | Queue | Blob | Schedule
"""Any trigger."""


def taken_by(trigger: Trigger) -> Iterator[str]:
    """Name what a trigger takes for itself, so that no other can have it too.

    A request and a message go to one function only; a blob and a tick reach every one.
    """
    match trigger:
        case Http():
            shape = re.sub(r"\{.*?\}", "{}", trigger.route).lower()  # no host looks at the case
            yield from (f"{method} /api/{shape}" for method in trigger.methods)
        case Queue():
            yield f"queue {trigger.name!r}"
        case Blob() | Schedule():
            return
        case _:
            assert_never(trigger)


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A request that an `Http` trigger took."""

    method: str
    path: str
    """Without ``/api/`` and the query."""
    params: dict[str, str] = {}
    """What the route's parameters stood for."""
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    """By name in lower case."""
    body: bytes = b""
    idempotency_key: str | None = None
    """The ``Idempotency-Key`` header."""


class QueueMessage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A message that a `Queue` trigger took."""

    id: str
    """Unique among the messages of all the host's queues."""
    body: str
    dequeue_count: int = 1
    """How often it has been delivered, this time included."""
    inserted_at: datetime | None = None


class BlobCreated(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A blob that a `Blob` trigger saw."""

    container: str
    name: str
    """The path within the container."""
    version: str
    """Changes whenever the content does: S3's versionId or sequencer, Azure's etag, a local
    file's size and time."""
    size: int | None = None
    """In bytes."""
    uri: str | None = None


class ScheduleTick(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A tick of a `Schedule` trigger."""

    name: str
    """The schedule's."""
    at: datetime
    """When the tick was due, which may be long past. Aware."""


TriggerEvent: TypeAlias = HttpRequest | QueueMessage | BlobCreated | ScheduleTick
"""Any event that a trigger hands to the orchestration it starts."""


def match_blob(pattern: str, name: str) -> dict[str, str] | None:
    """Return the pattern's parameters if a blob fits it, else None.

    A parameter stands for one or more characters of a path segment; in the pattern's last
    segment it may hold slashes, so ``incoming/{name}`` takes whole trees. Where several
    readings fit, earlier parameters take as much as they can.

    Args:
        pattern: E.g. ``incoming/{user}/{name}.csv``.
        name: The blob's container and path, with a slash between.
    """
    last = pattern.rfind("/")
    expression = ""
    for start, literal, parameter in _pieces(pattern, f"blob pattern {pattern!r}"):
        expression += re.escape(literal)
        if parameter:
            expression += f"(?P<{parameter}>{'.+' if start > last else '[^/]+'})"
    found = re.fullmatch(expression, name, re.DOTALL)
    return None if found is None else found.groupdict()


def instance_id_for(orchestration_name: str, event: TriggerEvent) -> str | None:
    """Return the id of the instance that an event starts, the same on every host.

    None means that nothing tells a repetition of the event: an HTTP request without an
    idempotency key, for which the host makes up an id.

    Raises:
        ValueError: A tick's time is naive.
    """
    match event:
        case HttpRequest():
            key = event.idempotency_key
            return derived_id(orchestration_name, "http", key) if key else None
        case QueueMessage():
            return derived_id(orchestration_name, "queue", event.id)
        case BlobCreated():
            parts = (event.container, event.name, event.version)
            return derived_id(orchestration_name, "blob", *parts)
        case ScheduleTick():
            if event.at.tzinfo is None:
                raise ValueError(f"the tick of schedule {event.name!r} has a naive time")
            instant = event.at.astimezone(UTC).isoformat()
            return derived_id(orchestration_name, "schedule", event.name, instant)
        case _:
            assert_never(event)


def _pieces(pattern: str, label: str) -> Iterator[tuple[int, str, str]]:
    """Split ``a{b}c{d}`` into (position of the parameter, literal, parameter), ending with "".

    Raises:
        RegistrationError: Braces or parameter names are wrong.
    """
    seen: set[str] = set()
    pieces: list[tuple[int, str, str]] = []
    literal_start = 0
    for found in re.finditer(r"\{([^{}]*)\}", pattern):
        name, literal = found[1], pattern[literal_start : found.start()]
        if not (name.isidentifier() and name.isascii()):
            raise RegistrationError(f"{label} has the parameter {name!r}, which is no identifier")
        if name in seen:
            raise RegistrationError(f"{label} has the parameter {name!r} twice")
        if pieces and not literal:
            raise RegistrationError(f"{label} has nothing between two of its parameters")
        seen.add(name)
        pieces.append((found.start(), literal, name))
        literal_start = found.end()
    pieces.append((len(pattern), pattern[literal_start:], ""))
    if any(brace in literal for _, literal, _ in pieces for brace in "{}"):
        raise RegistrationError(f"{label} has unbalanced braces")
    return iter(pieces)


def _check_name(name: str, kind: str) -> None:
    """Names that are valid for storage queues and containers, SQS and S3."""
    note(name, f"{kind} name")
    if not 3 <= len(name) <= 63 or re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) is None:
        raise RegistrationError(
            f"{kind} name {name!r} is not valid on every host: use 3 to 63 lower-case letters, "
            "digits and single hyphens, with a letter or digit at both ends"
        )


def _check_cron(cron: str) -> None:
    note(cron, "cron expression")
    count = len(cron.split())
    if count != 5:
        raise RegistrationError(
            f"cron expression {cron!r} has {count} fields; it needs 5: "
            "minute, hour, day of month, month, day of week"
        )
    import importlib

    try:
        cronsim = importlib.import_module("cronsim")
    except ImportError:  # the host that keeps the schedule checks the fields
        return
    try:
        cronsim.CronSim(cron, datetime(2000, 1, 1))
    except cronsim.CronSimError as error:
        raise RegistrationError(f"cron expression {cron!r} is not valid: {error}") from error


def _check_timezone(name: str) -> None:
    note(name, "time zone")
    if name == "UTC":  # needs no time zone data, which Windows lacks
        return
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise RegistrationError(
            f"time zone {name!r} is unknown; use an IANA name such as 'Europe/Paris' "
            "(where the system has no time zone data, install tzdata)"
        ) from error

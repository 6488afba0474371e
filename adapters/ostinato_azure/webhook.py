"""The management API of a function app, as HTTP: where it is, its key, and its answers.

Follows the extension's HTTP API (learn.microsoft.com, durable-functions-http-api). The key goes
in the header ``x-functions-key``, which the Functions host reads before the query's ``code``:
URLs get into logs, httpx's own among them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from ostinato.errors import OstinatoError, UnsupportedError

if TYPE_CHECKING:
    import httpx

PATH = "/runtime/webhooks/durabletask"
KEY_VARIABLE = "OSTINATO_AZURE_KEY"
"""The environment variable with the key, where none is given."""

_END = "/durabletask"
_TIMEOUT = 60.0
_TRIES = 4
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0
_LEAST_TIME = 1.0
"""Seconds that an app has for its answer however little time is left: enough for one that is up."""

_SHOWN = 500
"""Characters of an answer that an error tells."""

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = tuple(f(n) for n in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for f in (str.lower, str))
"""What httpx reads of the environment."""

_REFUSED_FOR_NOW = frozenset({429, 503})
"""The app is throttled or just starting: it has not taken the request."""

_LOST_ON_THE_WAY = frozenset({502, 504})
"""A gateway gave up: the app may have taken the request."""


class AzureError(OstinatoError):
    """The function app did not answer as it should: unreachable, no access, or at fault.

    Args:
        message: What is the matter.
        may_have_happened: Whether what was asked for may have taken effect all the same.
    """

    def __init__(self, message: str, *, may_have_happened: bool = False) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class NoAccessError(AzureError):
    """The function app asks for its key, or for another one."""


class UnavailableError(AzureError):
    """The function app does not answer for now, or cannot be reached at all."""


class Answer(msgspec.Struct, frozen=True):
    """What the management API answered."""

    status: int
    text: str
    headers: dict[str, str]
    is_repeat: bool = False
    """Whether the request was made before, and may have taken effect then, unseen."""
    shown: str = ""
    """The body as errors tell it: its beginning, without the key."""

    def json(self) -> Any:
        """The body as a value; None when there is none.

        Raises:
            AzureError: It is no JSON, so that something else answered than the extension.
        """
        try:
            return msgspec.json.decode(self.text) if self.text else None
        except (msgspec.MsgspecError, RecursionError):
            raise AzureError(
                f"what answered is not the management API of a function app: {self.shown[:100]!r}"
            ) from None


class Place(msgspec.Struct, frozen=True):
    """Where a management API is, and with what it is asked."""

    base: str
    """The URL up to and including ``durabletask``."""
    key: str | None
    query: dict[str, str]
    grpc: bool = False
    """Whether the app is known to be on the Durable Task protocol."""

    def __repr__(self) -> str:
        return f"Place({self.base!r})"


def place_of(url: str, key: str | None = None, task_hub: str | None = None) -> Place:
    """Return the place that a URL names: an app's, its webhooks', or one of an instance.

    Args:
        url: E.g. ``https://pipelines.azurewebsites.net``. What its query says of the key, the
            task hub and the connection holds where the arguments say nothing.
        key: The system key of the durabletask extension; else `KEY_VARIABLE` has it.
        task_hub: Another hub than the app's own.

    Raises:
        ValueError: It is no such URL, the key cannot be one, or it would be sent in the clear.
    """
    place = _place(url, key, task_hub)
    parts = urlsplit(place.base)
    if place.key is not None and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError(
            f"http://{parts.netloc} would be sent the key in the clear: give the URL with https://"
        )
    return place


def _place(url: str, key: str | None = None, task_hub: str | None = None) -> Place:
    like = "the URL of a function app is like https://<name>.azurewebsites.net"
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        raise ValueError(f"{like}; this is none") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        shown = f"{parts.scheme}://{parts.hostname}" if parts.hostname else url.partition("?")[0]
        raise ValueError(f"{like}, not {shown!r}")
    before, found, _ = parts.path.partition(_END)
    path = before + _END if found else parts.path.rstrip("/") + PATH
    said = {name.lower(): value for name, value in parse_qsl(parts.query)}
    chosen = (key or said.get("code") or os.environ.get(KEY_VARIABLE) or "").strip()
    if not (chosen.isascii() and chosen.isprintable()):
        raise ValueError("the key has characters that no key of Azure's has")
    query = {"taskHub": task_hub or said.get("taskhub"), "connection": said.get("connection")}
    return Place(
        base=f"{parts.scheme}://{parts.netloc}{path}",
        key=chosen or None,
        query={name: value for name, value in query.items() if value},
    )


def place_of_binding(text: str) -> Place:
    """Return the place that a ``durableClient`` binding's text tells of.

    Raises:
        ValueError: The text is no such binding's.
    """
    try:
        told: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        rpc = str(told.get("rpcBaseUrl") or "")
        if urlsplit(rpc).path.strip("/"):  # the loopback end; a gRPC address has no path
            query = {"taskHub": told.get("taskHubName"), "connection": told.get("connectionName")}
            return Place(rpc.rstrip("/"), None, {n: str(v) for n, v in query.items() if v})
        place = _place(str(told["managementUrls"]["statusQueryGetUri"]))  # its scheme is the app's
        return msgspec.structs.replace(place, grpc=True)
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
        # The text holds the key, and so may what is wrong with it.
        raise ValueError("this is not the text of a durableClient binding") from None


class Webhook:
    """One app's management API; safe to use from any thread.

    Args:
        place: Where it is.
        transport: What carries the requests, in place of the network.
        pause: Waits for a number of seconds.

    Raises:
        ValueError: The place has no URL that can be asked, or the environment no way to it.
    """

    def __init__(
        self,
        place: Place,
        *,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        import httpx  # loaded when something is asked for, not with the function app

        self._place = place
        self._pause = pause
        try:
            httpx.URL(place.base)
        except httpx.InvalidURL as error:
            raise ValueError(f"{place.base!r} is no URL: {error}") from None
        self._http = _client(place, transport)

    def __repr__(self) -> str:
        return f"Webhook({self._place.base!r})"

    def request(
        self,
        method: str,
        *parts: str,
        query: Mapping[str, str] | None = None,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        allowed: tuple[int, ...] = (200, 202),
        repeatable: bool = True,
        instead: Callable[[], Answer | None] = lambda: None,
        within: float | None = None,
    ) -> Answer:
        """Make a request, and again where that may help.

        A throttled request is made again after the time that the app asks for. One that got lost
        is made again if the app cannot have had it, or if it is ``repeatable``.

        Args:
            method: GET, POST or DELETE.
            parts: The path's segments.
            query: Names and values.
            body: JSON.
            headers: Further ones.
            allowed: Statuses that are an answer.
            repeatable: Whether asked for twice, it has the effect of once; or ``instead`` tells
                when it would not.
            instead: Is asked before a request that may have arrived is made again. What it
                returns is the answer, and nothing is repeated.
            within: Seconds for all of it, of which the last try has one at least.

        Raises:
            UnsupportedError: A segment is empty or dots, which URLs leave out.
            AzureError: There was no answer, or one that cannot be read or has a status that is
                not ``allowed``; or the URL would be none, e.g. too long.
        """
        import httpx

        url = "/".join((self._place.base, *map(_segment, parts)))
        content_type = {} if body is None else {"Content-Type": "application/json"}
        deadline = inf if within is None else time.monotonic() + within
        pause, is_repeat = _FIRST_PAUSE, False
        for left in reversed(range(_TRIES)):
            time_left = deadline - time.monotonic()
            try:
                got = self._http.request(
                    method,
                    url,
                    params={**self._place.query, **(query or {})},
                    content=body,
                    headers={**content_type, **(headers or {})},
                    timeout=min(_TIMEOUT, max(_LEAST_TIME, time_left)),
                )
            except httpx.TransportError as error:
                never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                lost = not isinstance(error, httpx.TimeoutException)
                is_repeat |= not never_sent
                again, wait = never_sent or (lost and repeatable), pause
                if not (again and left and time.monotonic() + wait < deadline):
                    raise self._silence(error, is_unsure=is_repeat and method != "GET") from None
            except httpx.InvalidURL as error:
                raise AzureError(
                    f"{self._place.base} cannot be asked for that: {self._why(error)}"
                ) from None
            except httpx.RequestError as error:
                told = f"the answer of {self._place.base} cannot be read: {self._why(error)}"
                raise _fault(AzureError, told, is_unsure=method != "GET") from None
            else:
                lost = got.status_code in _LOST_ON_THE_WAY
                refused = got.status_code in _REFUSED_FOR_NOW
                again, wait = refused or (lost and repeatable), max(pause, _asked_for(got.headers))
                if not (again and left and time.monotonic() + wait < deadline):
                    return self._answer(got, allowed, is_repeat)
                is_repeat |= lost
            self._pause(wait)
            pause *= 2
            found = instead() if is_repeat else None
            if found is not None:
                return found
        raise AssertionError("the last try answers or raises")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _answer(self, got: httpx.Response, allowed: tuple[int, ...], is_repeat: bool) -> Answer:
        status, base, shown = got.status_code, self._place.base, self._shown(got.text)
        passes = status in _REFUSED_FOR_NOW | _LOST_ON_THE_WAY
        if not passes and got.headers.get("Content-Type", "").startswith("text/html"):
            raise AzureError(
                f"{base} answered {status} with a web page, as no management API does: either the "
                "URL is another site's, or the app is stopped or closed to this network"
            )
        if status in (401, 403):
            fault = "asks for a key" if self._place.key is None else "does not take the key"
            raise NoAccessError(
                f"{base} {fault}: give the system key of the durabletask extension as key=... or "
                f"in {KEY_VARIABLE}"
            )
        if status == 404 and 404 not in allowed and not shown:
            raise AzureError(
                f"{base} answered 404: no management API is there; give the app's URL without a "
                "path, like https://<name>.azurewebsites.net"
            )
        if status not in allowed:
            kind = UnavailableError if passes else AzureError
            may_have = is_repeat or (status >= 500 and status not in _REFUSED_FOR_NOW)
            is_unsure = may_have and got.request.method != "GET"
            raise _fault(kind, f"{base} answered {status}: {shown}", is_unsure=is_unsure)
        return Answer(status, got.text, dict(got.headers), is_repeat, shown)

    def _silence(self, error: Exception, *, is_unsure: bool) -> AzureError:
        told = f"{self._place.base} did not answer: {self._why(error)}"
        return _fault(UnavailableError, told, is_unsure=is_unsure)

    def _why(self, error: Exception) -> str:
        return self._shown(f"{type(error).__name__} {error}".strip())

    def _shown(self, text: str) -> str:
        """The beginning of a text without the key, which is taken out first: a half of it would
        not be found."""
        key = self._place.key
        for form in () if key is None else (key, quote(key, safe="")):
            text = text.replace(form, "…")
        return text[:_SHOWN]


def _fault(kind: type[AzureError], told: str, *, is_unsure: bool) -> AzureError:
    told += "; what was asked for may have happened all the same" if is_unsure else ""
    return kind(told, may_have_happened=is_unsure)


def _segment(part: str) -> str:
    if part in ("", ".", ".."):
        raise UnsupportedError(
            f"a function app cannot be asked for {part!r}: it would be a segment of the URL, and "
            "URLs leave such a one out"
        )
    return quote(part, safe="")


def _client(place: Place, transport: httpx.BaseTransport | None) -> httpx.Client:
    """Return what makes the requests.

    Raises:
        ValueError: What the environment says of proxies and certificates cannot be used.
    """
    import httpx

    is_near = urlsplit(place.base).hostname in _LOOPBACK
    try:
        return httpx.Client(
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=not is_near,  # loopback needs no proxy
            verify=place.base.startswith("https:"),  # certificates take long to load
            headers={} if place.key is None else {"x-functions-key": place.key},
        )
    except OSError:  # those of the ssl module are, too
        raise ValueError(
            f"{_set_among(_CERTIFICATES)} names no certificates that can be read"
        ) from None
    except (ImportError, ValueError, httpx.InvalidURL):  # which may hold the proxy's password
        raise ValueError(
            f"{_set_among(_PROXIES)} names no proxy that can be used: one is like "
            "http://<host>:<port>, and socks5:// needs pip install 'httpx[socks]'"
        ) from None


def _set_among(names: tuple[str, ...]) -> str:
    """Those variables of the environment that are set."""
    return " or ".join(name for name in names if os.environ.get(name)) or names[-1]


def _asked_for(headers: Mapping[str, str]) -> float:
    """Seconds that an answer asks for before the next request; 0 where it says nothing."""
    try:
        return min(max(float(headers.get("Retry-After", "")), 0.0), _LONGEST_PAUSE)
    except ValueError:  # a date, which only says that there is time
        return 0.0

"""The management API of a function app, as HTTP: where it is, its key, and its answers.

Follows the extension's HTTP API (learn.microsoft.com, durable-functions-http-api).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from ostinato.errors import OstinatoError

PATH = "/runtime/webhooks/durabletask"
_TIMEOUT = 60.0


class AzureError(OstinatoError):
    """The function app did not answer as it should: unreachable, no access, or at fault."""


class Answer(msgspec.Struct, frozen=True):
    """What the management API answered."""

    status: int
    text: str
    headers: dict[str, str]

    def json(self) -> Any:
        """The body as a value; None when there is none."""
        return msgspec.json.decode(self.text) if self.text else None


class Webhook:
    """One app's management API.

    Args:
        base: Its URL, up to and including ``durabletask``.
        query: What every request carries: the key, and the task hub where it is not the app's.
    """

    def __init__(self, base: str, query: Mapping[str, str]) -> None:
        import httpx  # loaded when something is asked for, not with the function app

        self._base = base.rstrip("/")
        self._query = dict(query)
        # Certificates take long to load, and loopback has none.
        self._http = httpx.Client(timeout=_TIMEOUT, verify=self._base.startswith("https:"))

    def __repr__(self) -> str:
        return f"Webhook({self._base!r})"

    @classmethod
    def of_binding(cls, text: str) -> Webhook:
        """Return the API that a ``durableClient`` binding's text tells of."""
        told: dict[str, Any] = msgspec.json.decode(text)
        rpc = str(told.get("rpcBaseUrl") or "")
        if urlsplit(rpc).path.strip("/"):  # the loopback end; a gRPC address has no path
            return cls(rpc, {})
        links: dict[str, str] = told["managementUrls"]
        status = urlsplit(links["statusQueryGetUri"])
        base = f"{status.scheme}://{status.netloc}{status.path.partition('/instances/')[0]}"
        return cls(base, dict(parse_qsl(status.query)))

    def request(
        self,
        method: str,
        *parts: str,
        query: Mapping[str, str] | None = None,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        allowed: tuple[int, ...] = (200, 202),
    ) -> Answer:
        """Make a request; ``parts`` are the path's segments.

        Raises:
            AzureError: There was no answer, or one with a status that is not ``allowed``.
        """
        import httpx

        url = "/".join((self._base, *(quote(part, safe="") for part in parts)))
        sent = {"Content-Type": "application/json"} if body is not None else {}
        try:
            got = self._http.request(
                method,
                url,
                params={**self._query, **(query or {})},
                content=body,
                headers={**sent, **(headers or {})},
            )
        except httpx.HTTPError as error:
            raise AzureError(f"{self._base} did not answer: {type(error).__name__}") from None
        if got.status_code in (401, 403):
            raise AzureError(
                f"{self._base} refused access: give the system key of the durabletask extension"
            )
        if got.status_code not in allowed:
            raise AzureError(f"{self._base} answered {got.status_code}: {got.text[:500]}")
        return Answer(got.status_code, got.text, dict(got.headers))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

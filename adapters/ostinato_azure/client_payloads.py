"""Payloads on their way from and to a client: in an envelope, and claimed where they are large."""

from __future__ import annotations

from typing import Any

import msgspec

from ostinato.events import Json
from ostinato_azure import envelope
from ostinato_azure.claim_text import Claims, claim_value, is_claimed, unclaim_text
from ostinato_azure.webhook import AzureError

_encode = msgspec.json.Encoder().encode


class Payloads:
    """What a client sends and is told.

    Args:
        claims: Where the app keeps large payloads, if it does.
    """

    def __init__(self, claims: Claims | None) -> None:
        self._claims = claims

    def sent(self, payload: envelope.Envelope) -> Json:
        """Return a payload's text, its data claimed where it is too large."""
        text = envelope.written(payload)
        if self._claims is None:
            return text
        if not envelope.is_written(text):
            return claim_value(text, self._claims)
        data = claim_value(payload.text, self._claims)
        return _encode(msgspec.structs.replace(payload, data=msgspec.Raw(data.encode()))).decode()

    def sent_as_it_is(self, text: Json) -> Json:
        """Return the text of a payload, claimed as a whole where it is too large."""
        return text if self._claims is None else claim_value(text, self._claims)

    def told(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return what the API tells of an instance, with what is claimed in its place.

        Raises:
            AzureError: Something is claimed, and this client has no claims.
        """
        opened = self.listed(found)
        for name in ("input", "output"):
            if self._claims is None and is_claimed(_encode(opened.get(name)).decode()):
                raise AzureError(
                    f"the {name} of instance {found['instanceId']!r} is in Blob storage: give the "
                    "client claims=BlobClaims.connect(...)"
                )
        return opened

    def listed(self, found: dict[str, Any]) -> dict[str, Any]:
        """As `told`, but claims are left as they are where this client has none."""
        if self._claims is None:
            return found
        opened = dict(found)
        for name in ("input", "output"):
            text = _encode(found.get(name)).decode()
            if is_claimed(text):
                opened[name] = msgspec.json.decode(unclaim_text(text, self._claims))
        return opened

    def whole(self, found: dict[str, Any]) -> dict[str, Any]:
        """As `listed`, for the history too."""
        if self._claims is None:
            return found
        opened: dict[str, Any] = msgspec.json.decode(
            unclaim_text(_encode(found).decode(), self._claims)
        )
        return opened

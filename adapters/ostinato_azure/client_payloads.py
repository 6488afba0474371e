"""Payloads on their way from and to a client: in an envelope, and claimed where they are large.

Orchestrations of others know neither: they are given data as the client of their own SDK sends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ostinato.definitions import Registry
from ostinato.errors import UnsupportedError
from ostinato.events import Json
from ostinato_azure import envelope
from ostinato_azure.claim_text import Claims, claim_value, is_claim, is_claimed, unclaim_text
from ostinato_azure.webhook import AzureError

_encode = msgspec.json.Encoder().encode


class UnclaimedError(AzureError):
    """A payload is in Blob storage, and the client was not told in which."""


class Payloads:
    """What a client sends and is told.

    Args:
        claims: Where the app keeps large payloads, if it does.
        registry: The application's declarations; without them every orchestration is taken for
            ours.
        grpc: Whether orchestrations of others are those of azure-functions-durable 2.x.
        unclaimed: Told of what cannot be had without claims, which then stays a claim; by
            default it is an error.
    """

    def __init__(
        self,
        claims: Claims | None,
        registry: Registry | None,
        *,
        grpc: bool,
        unclaimed: Callable[[UnclaimedError], None] | None = None,
    ) -> None:
        self._claims = claims
        self._unclaimed = unclaimed
        self._registry = registry
        self._grpc = grpc

    @property
    def has_others(self) -> bool:
        """Whether the application knows of orchestrations that are not ours."""
        declared = () if self._registry is None else self._registry.orchestrations()
        return any(definition.fn is None for definition in declared)

    def is_ours(self, name: str) -> bool:
        """Whether an orchestration is ours."""
        if self._registry is None:
            return True
        definition = self._registry.orchestration(name)
        return definition is not None and definition.fn is not None

    def sent(self, payload: envelope.Envelope, name: str) -> Json:
        """Return what is sent to start an orchestration, its data claimed where it is too large.

        Raises:
            UnsupportedError: It is another's, and cannot be given what the payload carries.
        """
        if self.is_ours(name):
            return self.sent_event(payload)
        if payload.tags or payload.start_at:
            raise UnsupportedError(
                f"orchestration {name!r} is another application's: it can be given neither tags "
                "nor start_at"
            )
        return self._to_others(payload.text)

    def sent_event(self, payload: envelope.Envelope) -> Json:
        """Return what is sent as an event of ours, its data claimed where it is too large."""
        text = envelope.written(payload)
        if self._claims is None:
            return envelope.doubled(text)
        if not envelope.is_written(text):
            return envelope.doubled(claim_value(text, self._claims))
        data = msgspec.Raw(claim_value(payload.text, self._claims).encode())
        return envelope.doubled(_encode(msgspec.structs.replace(payload, data=data)).decode())

    def sent_as_it_is(self, text: Json, name: str) -> Json:
        """As `sent`, of a payload that is written already: it is claimed as a whole."""
        if not self.is_ours(name):
            return self._to_others(text)
        return envelope.doubled(text if self._claims is None else claim_value(text, self._claims))

    def _to_others(self, text: Json) -> Json:
        """Their input: of 2.x JSON, of 1.x JSON in a JSON string; both read an object."""
        return text if self._grpc or text.startswith("{") else _encode(text).decode()

    def told(self, found: dict[str, Any], *, keeps_lost: bool = True) -> dict[str, Any]:
        """Return what the API tells of an instance, with what is claimed in its place.

        Args:
            found: What it tells.
            keeps_lost: Whether claims for what is gone are left as they are.

        Raises:
            UnclaimedError: Something is claimed, this client has no claims, and nobody is to be
                told.
            ClaimError: It cannot be had.
        """
        opened = dict(found)
        for name in ("input", "output"):
            text = _encode(found.get(name)).decode()
            if not is_claimed(text):
                continue
            if self._claims is None:
                missing = UnclaimedError(
                    f"the {name} of instance {found['instanceId']!r} is in Blob storage: give the "
                    "client claims=BlobClaims.connect(...), or the command line's environment the "
                    "app's settings OSTINATO_CLAIM_CONTAINER and AzureWebJobsStorage"
                )
                if self._unclaimed is None:
                    raise missing
                self._unclaimed(missing)
                continue
            opened[name] = self._opened(text, keeps_lost=keeps_lost)
        return opened

    def tagged(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return what a list tells of an instance, with the tags that it has.

        Claims are left as they are, but an input that is claimed as a whole is opened where it can
        be had: an envelope with tags may be in it.

        Raises:
            ClaimError: It is there, and cannot be had.
        """
        text = _encode(found.get("input")).decode()
        return {**found, "input": self._opened(text)} if is_claim(text) else found

    def whole(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return an instance and its history with what is claimed in its place, where it can be
        had.

        Raises:
            ClaimError: Something is there, and cannot be had.
        """
        opened: dict[str, Any] = self._opened(_encode(found).decode())
        return opened

    def _opened(self, text: Json, *, keeps_lost: bool = True) -> Any:
        if self._claims is not None:
            text = unclaim_text(text, self._claims, keeps_lost=keeps_lost)
        return msgspec.json.decode(text)

"""How a generation of an instance begins, and what it leaves to the next."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime

import msgspec

from ostinato import events as ev
from ostinato.actions import ContinuedAsNew
from ostinato.definitions import UNVERSIONED, Registry
from ostinato.events import Json
from ostinato_azure import envelope
from ostinato_azure.markers import is_version_marker, version_due

GONE = "(removed)"
"""Stands for a version that is no longer registered: its marker does not tell its name."""


def begin(
    event: ev.ExecutionStarted, registry: Registry, markers: Set[datetime]
) -> ev.ExecutionStarted:
    """Return the start of an execution as the core has it, from the host's.

    Args:
        event: The host's, whose input is a payload.
        registry: What the application declares.
        markers: When the markers are due that the history records.
    """
    payload = envelope.read(event.input)
    return msgspec.structs.replace(
        event,
        input=payload.text,
        version=_version(event, payload, _versions(registry, event.name), markers),
        tags=payload.tags,
        start_at=payload.start_at,
        custom_status=bytes(payload.status).decode() or None,
        events=tuple(
            ev.EventRaised(
                at=event.at,
                name=carried.name,
                data=bytes(carried.data).decode(),
                event_id=carried.event_id,
            )
            for carried in payload.events
        ),
        event_ids=payload.event_ids,
    )


def continuation(
    name: str, outcome: ContinuedAsNew, registry: Registry, tags: Mapping[str, str] | None
) -> Json:
    """Return the payload with which an orchestration's next generation starts."""
    status, version = outcome.custom_status, outcome.version
    if version == UNVERSIONED and _versions(registry, name) == [None]:
        version = None
    carrying = envelope.Envelope(
        ostinato=envelope.VERSION,
        data=msgspec.Raw(outcome.input.encode()),
        version=version,
        tags=None if tags is None else dict(tags),
        events=tuple(
            envelope.CarriedEvent(e.name, msgspec.Raw(e.data.encode()), e.event_id)
            for e in outcome.events
        ),
        event_ids=outcome.event_ids,
        status=envelope.NO_STATUS if status is None else msgspec.Raw(status.encode()),
    )
    return envelope.written(carrying, once=True)


def _version(
    event: ev.ExecutionStarted,
    payload: envelope.Envelope,
    versions: list[str | None],
    markers: Set[datetime],
) -> str | None:
    """The version by the envelope, else by the host's stamp, else by the marker."""
    if payload.version is not None:
        return payload.version
    if event.version and any(versions):
        return event.version
    for version in versions:
        if version is not None and version_due(version) in markers:
            return version
    if any(map(is_version_marker, markers)):
        return GONE
    return UNVERSIONED if versions == [None] else None


def _versions(registry: Registry, name: str) -> list[str | None]:
    """The versions of an orchestration, in order of registration."""
    return [d.version for d in registry.orchestrations() if d.name == name]

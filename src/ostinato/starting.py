"""What every client checks of a start before a host sees it."""

from __future__ import annotations

from typing import Any

from ostinato import arguments
from ostinato.client import Start
from ostinato.codec import decode, encode
from ostinato.definitions import Registry
from ostinato.errors import UnknownNameError
from ostinato.events import Json


def check_start(registry: Registry | None, start: Start) -> tuple[str, str | None, Json]:
    """Return the registered name, the version to run on, and the input as JSON that fits.

    Args:
        registry: The application's declarations; None where the client does not have them, and
            only the types of the arguments can be checked.
        start: What is asked for.

    Raises:
        UnknownNameError: The application has no such orchestration or version.
        CodecError: The input is no JSON, or does not fit the orchestrator's annotation.
        PayloadTooLargeError: The input is over the application's limit.
        ValueError: ``if_exists`` is none of the words for it.
    """
    if start.if_exists not in ("reject", "attach", "replace_finished"):
        raise ValueError(
            f"if_exists is 'reject', 'attach' or 'replace_finished', not {start.if_exists!r}"
        )
    if registry is None:
        name = getattr(start.name, "__name__", start.name)
        version = arguments.optional_text(start.version, "version")
        text = encode(start.input, f"input of orchestration {name!r}")
        return arguments.text(name, "name"), version, text
    definition = registry.orchestration(start.name, start.version)
    if definition is None:
        raise UnknownNameError(_unknown(registry, start))
    text = encode(start.input, definition.input_label, registry.payload_limit)
    signature = definition.signature
    if signature.takes_input and signature.input_type is not Any:
        decode(text, signature.input_type, definition.input_label)
    return definition.name, definition.version, text


def _unknown(registry: Registry, start: Start) -> str:
    name = registry.name_of(start.name)
    versions = [repr(d.version) for d in registry.orchestrations() if d.name == name]
    if versions:
        return (
            f"orchestration {name!r} has no version {start.version!r}; it has {', '.join(versions)}"
        )
    known = ", ".join(sorted({d.name for d in registry.orchestrations()})) or "none"
    return f"orchestration {name!r} is not in the application; it has: {known}"

"""What Azure's host and its Durable extension refuse of a host.json, and what they pass over.

From the host's own reading of the file (``HostJsonFileConfigurationSource``) and the extension's
of its hub (``AzureStorageOptions.ValidateHubName``). Keys mean the same in any case.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

VERSION = "2.0"
"""Of the file, on every version of the host since the second."""

KNOWN = (
    "$schema",
    "aggregator",
    "concurrency",
    "configurationProfile",
    "customHandler",
    "extensionBundle",
    "extensions",
    "functionTimeout",
    "functions",
    "healthMonitor",
    "logging",
    "managedDependency",
    "retry",
    "sendCanceledInvocationsToWorker",
    "singleton",
    "telemetryMode",
    "version",
    "watchDirectories",
    "watchFiles",
)
"""The keys at the top of the file."""


class HostJsonRefused(ValueError):
    """The host would not start with it; the message has the key and the mend in a line."""


def parse(data: bytes) -> Mapping[str, Any]:
    """Read a file, host.json or another of the host's, as the one JSON object that it is.

    Raises:
        HostJsonRefused: It is none.
    """
    try:
        value: Any = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise HostJsonRefused(f"it is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise HostJsonRefused("it is no JSON object")
    return cast(dict[str, Any], value)


def check(host: Mapping[str, Any]) -> None:
    """See that the host would start with a host.json.

    Raises:
        HostJsonRefused: It would not.
    """
    for where, one, other in _doubled(host):
        raise HostJsonRefused(f"{where}{one} and {where}{other} are one key to the host: keep one")
    if host and (version := named(host, "version")) != VERSION:  # it fills in an empty file
        there = "missing" if version is None else json.dumps(version)
        raise HostJsonRefused(f'version is {there}: the host wants "version": "{VERSION}"')
    durable = section(section(host, "extensions"), "durableTask")
    hub, storage = named(durable, "hubName"), named(section(durable, "storageProvider"), "type")
    is_azures = storage is None or str(storage).lower() == "azurestorage"
    if isinstance(hub, str) and is_azures and not _is_hub_name(hub):
        raise HostJsonRefused(
            "extensions.durableTask.hubName is 3 to 45 letters and digits, the first a letter,"
            f" not {hub!r}"
        )


def passed_over(host: Mapping[str, Any]) -> Iterator[str]:
    """What is said of each key at the top that means nothing to the host."""
    known = {key.lower(): key for key in KNOWN}
    for key in host:
        if key.lower() not in known:
            [*close] = difflib.get_close_matches(key.lower(), known, n=1)
            hint = f": is it {known[close[0]]!r}?" if close else ""
            yield f"host.json: {key!r} means nothing to Azure's host{hint}"


def named(section: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The value of a key in any case; ``default`` where there is none, or null."""
    found = (value for key, value in section.items() if key.lower() == name.lower())
    value = next(found, None)
    return default if value is None else value


def section(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object of a key in any case; an empty one where there is none.

    Raises:
        HostJsonRefused: There is something else.
    """
    value = named(whole, name, dict[str, Any]())
    if not isinstance(value, dict):
        raise HostJsonRefused(f"{name!r} is no JSON object")
    return cast(dict[str, Any], value)


def _is_hub_name(hub: str) -> bool:
    """Whether it is one, or is made of app settings, which nobody knows here."""
    return "%" in hub or re.fullmatch(r"[A-Za-z][A-Za-z0-9]{2,44}", hub) is not None


def _doubled(whole: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, str, str]]:
    """Keys that are one but for their case, and where they are."""
    seen = dict[str, str]()
    for key, value in whole.items():
        if (before := seen.setdefault(key.lower(), key)) != key:
            yield where, before, key
        if isinstance(value, dict):
            yield from _doubled(cast(dict[str, Any], value), f"{where}{key}.")

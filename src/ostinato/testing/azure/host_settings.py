"""What a function app's files tell its host: host.json and local.settings.json."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from ostinato.testing.azure import host_rules
from ostinato.testing.azure.host_rules import named, section
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.worker import BindingError

STORAGE = "AzureWebJobsStorage"
"""The setting that names the host's own storage account."""

CONNECTION_STRING = (
    "DefaultEndpointsProtocol=https;AccountName=<name>;AccountKey=<key>"
    ";EndpointSuffix=core.windows.net"
)
"""What a connection string looks like."""


class SettingsError(Exception):
    """A file or a setting is not as the host needs it; the message names it and the mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """``extensions.queues`` of host.json."""

    batch_size: int = 16
    """Messages that are handled at a time."""
    max_dequeue_count: int = 5
    """Deliveries after which a message is poison."""
    visibility_timeout: timedelta = timedelta(0)
    """How long a message whose function failed stays unseen."""
    base64: bool = True
    """Whether messages are base64 of their text (``messageEncoding``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostJson:
    """What the stand-in of the host reads of host.json; all else is left to the real one."""

    hub_name: str = "TestHubName"
    hub: HubOptions = field(default_factory=HubOptions)
    route_prefix: str = "api"
    function_timeout: timedelta | None = None
    queues: QueueOptions = field(default_factory=QueueOptions)
    passed_over: tuple[str, ...] = ()
    """What is said of keys that mean nothing."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a folder's host.json.

        Raises:
            SettingsError: It is missing, or is not as it should be.
        """
        path = folder / "host.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise SettingsError(
                f"there is no {path.name} in {folder}: is it the folder of a function app?"
            ) from None
        return cls.parse(data, path)

    @classmethod
    def parse(cls, data: bytes, path: Path) -> Self:
        """Read the content of a host.json; ``path`` is what messages call it.

        Raises:
            SettingsError: It is not as it should be.
        """
        try:
            whole = host_rules.parse(data)
            host_rules.check(whole)
            return cls._of(whole, path)
        except host_rules.HostJsonRefused as error:
            raise SettingsError(f"{path}: {error}") from None

    @classmethod
    def _of(cls, whole: Mapping[str, Any], path: Path) -> Self:
        extensions = section(whole, "extensions")
        durable = section(extensions, "durableTask")
        queues = section(extensions, "queues")
        encoding = str(named(queues, "messageEncoding", "base64")).lower()
        if encoding not in {"base64", "none"}:
            raise SettingsError(f"{path}: messageEncoding is 'base64' or 'none', not {encoding!r}")
        timeout = named(whole, "functionTimeout")
        storage = section(durable, "storageProvider")
        version = named(durable, "defaultVersion")
        return cls(
            hub_name=str(named(durable, "hubName") or cls().hub_name),
            hub=HubOptions(
                control_queue_buffer=_number(
                    storage, "controlQueueBufferThreshold", HubOptions().control_queue_buffer, path
                ),
                default_version=None if version is None else str(version),
            ),
            route_prefix=str(named(section(extensions, "http"), "routePrefix", "api")),
            function_timeout=None if timeout in (None, "-1") else timespan(timeout, path),
            queues=QueueOptions(
                batch_size=_number(queues, "batchSize", 16, path),
                max_dequeue_count=_number(queues, "maxDequeueCount", 5, path),
                visibility_timeout=timespan(named(queues, "visibilityTimeout", "00:00:00"), path),
                base64=encoding == "base64",
            ),
            passed_over=tuple(host_rules.passed_over(whole)),
        )


@dataclass(frozen=True, slots=True)
class AppSettings:
    """The app's settings, which are the environment of its functions."""

    values: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``Values`` of a folder's local.settings.json, if it has one.

        Raises:
            SettingsError: It is not as it should be.
        """
        path = folder / "local.settings.json"
        if not path.is_file():
            return cls()
        try:
            values = section(host_rules.parse(path.read_bytes()), "Values")
        except host_rules.HostJsonRefused as error:
            raise SettingsError(f"{path}: {error}") from None
        return cls({str(key): str(value) for key, value in values.items()})

    def resolve(self, text: str) -> str:
        """Put settings in place of ``%names%``.

        Raises:
            BindingError: There is no such setting.
        """
        return re.sub(r"%([^%]+)%", lambda found: self._named(found[1]), text)

    def connection(self, name: str | None) -> str | None:
        """The connection string that a binding's ``connection`` names; None where there is none.

        The host looks for ``AzureWebJobs<name>`` first; no name is the host's own storage.

        Raises:
            BindingError: The setting holds something else.
        """
        name = name or STORAGE
        for setting in (f"AzureWebJobs{name}", name):
            if found := self.values.get(setting):
                if not is_connection_string(found):
                    raise BindingError(not_a_connection_string(f"the app setting {setting!r}"))
                return found
        return None

    def _named(self, name: str) -> str:
        if name not in self.values:
            raise BindingError(
                f"a binding names the app setting {name!r}, which is not set"
                " (in local.settings.json, or in the environment)"
            )
        return self.values[name]


@lru_cache(maxsize=32)
def is_connection_string(text: str) -> bool:
    """Whether Azure's SDK can read it; whether the account is there is another matter."""
    try:
        for service in (BlobServiceClient, QueueServiceClient):
            service.from_connection_string(text).close()
        for key in re.findall("AccountKey=([^;]*)", text, re.IGNORECASE):
            base64.b64decode(key)
    except ValueError:
        return False
    return True


def not_a_connection_string(where: str) -> str:
    """The message about what is in its place, which may hold a key, and is not told."""
    return f"{where} is no connection string of a storage account: one is like {CONNECTION_STRING}"


def timespan(text: object, path: Path) -> timedelta:
    """Read ``[d.]hh:mm:ss``.

    Raises:
        SettingsError: It is none.
    """
    found = re.fullmatch(r"(?:(\d+)\.)?(\d+):(\d\d):(\d\d)(?:\.\d+)?", str(text))
    if found is None:
        raise SettingsError(f"{path}: {text!r} is no time span; write it as hh:mm:ss")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _number(options: Mapping[str, Any], name: str, default: int, path: Path) -> int:
    value = named(options, name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingsError(f"{path}: {name} is a whole number from 1 on, not {value!r}")
    return value

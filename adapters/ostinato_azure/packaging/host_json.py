"""host.json: how Azure's host and its Durable extension run the app.

Settings and their defaults: Microsoft's host.json references for Azure Functions 2.x and later,
for Durable Functions and for Queue storage.
"""

from __future__ import annotations

import json
import math
import re
from datetime import timedelta
from typing import cast

import ostinato as ost
from ostinato.testing.azure import host_rules
from ostinato.triggers import Queue
from ostinato_azure.packaging.arm import Json
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.settings import Settings

STABLE = "Microsoft.Azure.Functions.ExtensionBundle"
PREVIEW = f"{STABLE}.Preview"
"""The bundle whose Durable extension speaks protobuf to apps that ask for it."""

LEAST_TIMEOUT = timedelta(minutes=30)
"""Flex Consumption's own limit of a function's run, which holds where no activity needs more."""

MARGIN = timedelta(minutes=1)
"""Left to an activity's own timeout: the host's ends the whole worker process."""


def host_json(app: ost.App, settings: Settings) -> str:
    """Return the file's text, the same for the same app and settings.

    Raises:
        PackagingError: The settings make it one that Azure's host refuses.
    """
    host: Json = {
        "version": "2.0",
        "extensionBundle": {
            "id": PREVIEW if settings.grpc else STABLE,
            "version": "[4.*, 5.0.0)",
        },
        "functionTimeout": _time(_function_timeout(app)),
        "logging": {
            "logLevel": {
                "default": "Information",
                "DurableTask.AzureStorage": "Warning",
                "DurableTask.Core": "Warning",
            },
            "applicationInsights": {
                # Requests are how the portal counts and lists invocations.
                "samplingSettings": {"isEnabled": True, "excludedTypes": "Request;Exception"}
            },
        },
        "extensions": {"durableTask": _durable_task(app)},
    }
    if any(isinstance(t, Queue) for d in app.registry.orchestrations() for t in d.triggers):
        host["extensions"]["queues"] = {
            "batchSize": 16,
            "newBatchThreshold": 8,
            "maxDequeueCount": 5,
            "maxPollingInterval": "00:00:05",
            "visibilityTimeout": "00:00:30",
            # A message is the text that was sent, as on every other host: Azure's SDKs for
            # Python, JavaScript and .NET and its command line send text as it is.
            "messageEncoding": "none",
        }
    host = _overlaid(host, settings.host)
    try:
        host_rules.check(host)
    except host_rules.HostJsonRefused as error:
        raise PackagingError(
            f"host.json, with [tool.ostinato.azure.host] of pyproject.toml in it: {error}"
        ) from None
    return json.dumps(host, indent=2, ensure_ascii=False) + "\n"


def hub_name(app: ost.App) -> str:
    """Return the app's task hub: 3 to 45 letters and digits, beginning with a letter.

    Instances live in a hub, so an app that is renamed leaves its instances behind.
    """
    kept = re.sub(r"[^A-Za-z0-9]", "", app.name)
    named = kept if kept[:1].isalpha() else f"hub{kept}"
    return (named if len(named) >= 3 else f"{named}hub")[:45]


def common_version(app: ost.App) -> str | None:
    """Return the newest version of every orchestration where all have the same, else None."""
    newest = {
        d.name: d.version for d in app.registry.orchestrations() if d.fn is not None
    }  # versions come in order of registration, so the last stays
    versions = set(newest.values())
    return versions.pop() if len(versions) == 1 else None


def _durable_task(app: ost.App) -> Json:
    durable: Json = {"hubName": hub_name(app)}
    if version := common_version(app):
        durable["defaultVersion"] = version
        # Which versions can run is the app's to say; the extension would refuse newer ones.
        durable["versionMatchStrategy"] = "None"
    return durable | {
        "maxConcurrentActivityFunctions": 16,
        "maxConcurrentOrchestratorFunctions": 8,
        # Out-of-process languages are handed the whole history whatever is kept in memory.
        "extendedSessionsEnabled": False,
        "storageProvider": {
            "connectionName": "AzureWebJobsStorage",
            "partitionCount": 4,
            # Most messages of one turn, each of which brings the whole history. It is the default
            # of most plans; where it is not, a wide fan-out takes eight times as many turns.
            "controlQueueBufferThreshold": 256,
            # How long an instance may sleep before it is looked for: Microsoft's advice for Flex
            # Consumption is no more than this.
            "maxQueuePollingInterval": "00:00:10",
        },
        "tracing": {
            "distributedTracingEnabled": True,
            "version": "V2",
            "traceInputsAndOutputs": False,
            "traceReplayEvents": False,
        },
    }


def _function_timeout(app: ost.App) -> timedelta:
    seconds = [a.timeout for a in app.registry.activities() if a.timeout is not None]
    longest = timedelta(seconds=math.ceil(max(seconds, default=0)))
    return max(LEAST_TIMEOUT, longest + MARGIN)


def _time(length: timedelta) -> str:
    """``d.hh:mm:ss``, as .NET reads it."""
    minutes, seconds = divmod(length.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{length.days}." if length.days else ""
    return f"{days}{hours:02}:{minutes:02}:{seconds:02}"


def _overlaid(below: Json, above: Json) -> Json:
    """Tables merged, all else of ``above`` in place of ``below``."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _overlaid(cast(Json, old), cast(Json, value)) if both else value
    return merged

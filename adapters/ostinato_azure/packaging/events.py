"""The ARM template by which blobs reach the app: Flex Consumption takes them from Event Grid.

It is deployed after the code: the webhook must answer when the subscription is made, and its
key exists once the host has run. The key goes from one service to the other and is seen nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from azure.functions import FunctionRegister

from ostinato_azure.packaging import site, storage
from ostinato_azure.packaging.arm import TAGS, Json, declared, parameter, resource_id, template

API = "2025-02-15"
TOPIC = "Microsoft.EventGrid/systemTopics"
SUBSCRIPTION = f"{TOPIC}/eventSubscriptions"

GIVEN_TOPIC = "systemTopicName"
"""The parameter with the name of the account's topic where there is one: Azure allows one alone."""

_NO_TOPIC = f"empty({parameter(GIVEN_TOPIC)})"
TOPIC_NAME = (
    f"if({_NO_TOPIC}, format('{{0}}-blobs', {parameter('name')}), {parameter(GIVEN_TOPIC)})"
)
TOPIC_ID = resource_id(TOPIC, TOPIC_NAME)


class BlobFunction(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A function of the deployed app that a blob trigger starts."""

    name: str
    path: str
    """Container and pattern: ``incoming/{name}``."""


def blob_functions(app: FunctionRegister) -> list[BlobFunction]:
    """Return the functions with a blob trigger of what the worker indexes, sorted."""
    found: list[BlobFunction] = []
    for function in app.get_functions():
        for binding in function.get_bindings():
            described: Any = binding  # its own annotations leave the items' types open
            declared: Json = described.get_dict_repr()
            if declared["type"] == "blobTrigger":
                name = str(function.get_function_name())
                found.append(BlobFunction(name=name, path=declared["path"]))
    return sorted(found)


def events_template(functions: Iterable[BlobFunction]) -> Json | None:
    """Return the template with a subscription for each function; None where there is none."""
    subscriptions = [_subscription(function) for function in sorted(functions)]
    if not subscriptions:
        return None
    return template(
        parameters={
            "location": declared(
                "string",
                "The storage account's region.",
                default="[resourceGroup().location]",
            ),
            "name": declared(
                "string",
                "The function app's name.",
            ),
            "storageName": declared(
                "string",
                "The name of its storage account.",
            ),
            GIVEN_TOPIC: declared(
                "string",
                "The account's system topic, if it has one; else one is made.",
                default="",
            ),
            "tags": {"type": "object", "defaultValue": {}},
        },
        variables={},
        resources=[_topic(), *subscriptions],
        outputs={},
    )


def _topic() -> Json:
    return {
        "type": TOPIC,
        "apiVersion": API,
        "name": f"[{TOPIC_NAME}]",
        "location": f"[{parameter('location')}]",
        "tags": TAGS,
        "condition": f"[{_NO_TOPIC}]",
        "properties": {
            "source": f"[{resource_id(storage.ACCOUNT, parameter('storageName'))}]",
            "topicType": "Microsoft.Storage.StorageAccounts",
        },
    }


def _subscription(function: BlobFunction) -> Json:
    container, _, pattern = function.path.partition("/")
    begins, brace, _ = pattern.partition("{")
    ends = pattern.rpartition("}")[2] if brace else ""
    host = resource_id(f"{site.SITE}/host", site.NAME, "'default'")
    key = f"listKeys({host}, '{site.API}').systemKeys.blobs_extension"
    name = re.sub(r"[^A-Za-z0-9-]", "-", function.name)[:64].ljust(3, "-")
    return {
        "type": SUBSCRIPTION,
        "apiVersion": API,
        "name": f"[format('{{0}}/{name}', {TOPIC_NAME})]",
        "properties": {
            "destination": {
                "endpointType": "WebHook",
                "properties": {
                    "endpointUrl": (
                        f"[concat('https://', {site.HOST_NAME}, "
                        f"'/runtime/webhooks/blobs?functionName=Host.Functions.{function.name}"
                        f"&code=', uriComponent({key}))]"
                    )
                },
            },
            "filter": {
                "includedEventTypes": ["Microsoft.Storage.BlobCreated"],
                "isSubjectCaseSensitive": True,
                "subjectBeginsWith": (
                    f"/blobServices/default/containers/{container}/blobs/{begins}"
                ),
                **({"subjectEndsWith": ends} if ends else {}),
            },
            "eventDeliverySchema": "EventGridSchema",
            "retryPolicy": {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440},
        },
        "dependsOn": [f"[{TOPIC_ID}]"],
    }

"""The storage account: the task hub, the package, the triggers' queues and containers."""

from __future__ import annotations

from collections.abc import Iterable

from ostinato_azure import records
from ostinato_azure.packaging.arm import TAGS, Json, parameter, resource_id, variable

API = "2024-01-01"
ACCOUNT = "Microsoft.Storage/storageAccounts"
CONTAINER = f"{ACCOUNT}/blobServices/containers"
QUEUE = f"{ACCOUNT}/queueServices/queues"
POLICY = f"{ACCOUNT}/managementPolicies"

ACCOUNT_NAME = variable("storageName")
ACCOUNT_ID = resource_id(ACCOUNT, ACCOUNT_NAME)

PACKAGE_CONTAINER = "app-package"
CLAIM_CONTAINER = "ostinato-claims"
_OURS = (PACKAGE_CONTAINER, records.CONTAINER, CLAIM_CONTAINER)

RECORD_DAYS = "triggerRecordDays"
"""The parameter that says how long the events that started instances are remembered."""

CLAIM_DAYS = "claimDays"
"""The parameter that says how long large payloads are kept; 0 is for ever."""

PUBLIC_ACCESS = "storagePublicAccess"
"""The parameter that says whether the account answers outside private networks."""

REDUNDANCY = "storageRedundancy"
"""The parameter that says in how many places the account keeps its data."""

REDUNDANCIES = (
    "Standard_LRS",
    "Standard_ZRS",
    "Standard_GRS",
    "Standard_RAGRS",
    "Standard_GZRS",
    "Standard_RAGZRS",
)


def account_resources(queues: Iterable[str], containers: Iterable[str]) -> list[Json]:
    """Return the account, which takes identities only, and what is in it from the beginning."""
    account: Json = {
        "type": ACCOUNT,
        "apiVersion": API,
        "name": f"[{ACCOUNT_NAME}]",
        "location": f"[{parameter('location')}]",
        "kind": "StorageV2",
        "tags": TAGS,
        "sku": {"name": f"[{parameter(REDUNDANCY)}]"},
        "properties": {
            "accessTier": "Hot",
            "allowBlobPublicAccess": False,
            "allowSharedKeyAccess": False,
            "defaultToOAuthAuthentication": True,
            "minimumTlsVersion": "TLS1_2",
            "publicNetworkAccess": f"[{parameter(PUBLIC_ACCESS)}]",
            "supportsHttpsTrafficOnly": True,
        },
    }
    return [
        account,
        *(_container(name) for name in dict.fromkeys([*_OURS, *containers])),
        *(_queue(name) for name in queues),
        _forgetting(),
    ]


def container_id(name: str) -> str:
    """Return an expression, without brackets, for the id of a container of the account."""
    return resource_id(CONTAINER, ACCOUNT_NAME, "'default'", f"'{name}'")


def _container(name: str) -> Json:
    return {
        "type": CONTAINER,
        "apiVersion": API,
        "name": f"[format('{{0}}/default/{name}', {ACCOUNT_NAME})]",
        "properties": {"publicAccess": "None"},
        "dependsOn": [f"[{ACCOUNT_ID}]"],
    }


def _queue(name: str) -> Json:
    return {
        "type": QUEUE,
        "apiVersion": API,
        "name": f"[format('{{0}}/default/{name}', {ACCOUNT_NAME})]",
        "properties": {},
        "dependsOn": [f"[{ACCOUNT_ID}]"],
    }


def _forgetting() -> Json:
    """The account's one lifecycle policy: what is old of our own is deleted."""
    claims = _rule("old-claims", f"{CLAIM_CONTAINER}/", CLAIM_DAYS)
    rules = [
        _rule("old-trigger-records", f"{records.CONTAINER}/{records.EVENTS}/", RECORD_DAYS),
        claims | {"enabled": f"[greater({parameter(CLAIM_DAYS)}, 0)]"},
    ]
    return {
        "type": POLICY,
        "apiVersion": API,
        "name": f"[format('{{0}}/default', {ACCOUNT_NAME})]",
        "properties": {"policy": {"rules": rules}},
        "dependsOn": [f"[{ACCOUNT_ID}]"],
    }


def _rule(name: str, prefix: str, days: str) -> Json:
    """What deletes blobs that have not been written for as many days as a parameter says."""
    return {
        "enabled": True,
        "name": name,
        "type": "Lifecycle",
        "definition": {
            "filters": {"blobTypes": ["blockBlob"], "prefixMatch": [prefix]},
            "actions": {
                "baseBlob": {"delete": {"daysAfterModificationGreaterThan": f"[{parameter(days)}]"}}
            },
        },
    }

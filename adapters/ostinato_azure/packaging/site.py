"""The function app on its Flex Consumption plan."""

from __future__ import annotations

from ostinato_azure.claims import CONTAINER_VARIABLE, THRESHOLD_VARIABLE
from ostinato_azure.packaging import storage, telemetry
from ostinato_azure.packaging.arm import Json, parameter, resource_id

API = "2024-11-01"
PLAN = "Microsoft.Web/serverfarms"
SITE = "Microsoft.Web/sites"
SETTINGS = f"{SITE}/config"
PUBLISHING = f"{SITE}/basicPublishingCredentialsPolicies"

CLAIMED_FROM = 256 * 1024
"""Bytes beyond which payloads are claimed: each turn brings all that the history holds, and who
looks at instances from outside sees what is smaller without access to storage."""

NAME = parameter("name")
PLAN_ID = resource_id(PLAN, NAME)
SITE_ID = resource_id(SITE, NAME)
PRINCIPAL = f"reference({SITE_ID}, '{API}', 'full').identity.principalId"
HOST_NAME = f"reference({SITE_ID}, '{API}').defaultHostName"


def site_resources() -> list[Json]:
    """Return the plan, the app, its settings, and the refusal of passwords for publishing."""
    return [_plan(), _site(), _settings(), _no_password("ftp"), _no_password("scm")]


def _plan() -> Json:
    return {
        "type": PLAN,
        "apiVersion": API,
        "name": f"[{NAME}]",
        "location": f"[{parameter('location')}]",
        "kind": "functionapp",
        "sku": {"name": "FC1", "tier": "FlexConsumption"},
        "properties": {"reserved": True},
    }


def _site() -> Json:
    blobs = f"reference({storage.ACCOUNT_ID}, '{storage.API}').primaryEndpoints.blob"
    package = storage.PACKAGE_CONTAINER
    return {
        "type": SITE,
        "apiVersion": API,
        "name": f"[{NAME}]",
        "location": f"[{parameter('location')}]",
        "kind": "functionapp,linux",
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "serverFarmId": f"[{PLAN_ID}]",
            "httpsOnly": True,
            "functionAppConfig": {
                "deployment": {
                    "storage": {
                        "type": "blobContainer",
                        "value": f"[concat({blobs}, '{package}')]",
                        "authentication": {"type": "SystemAssignedIdentity"},
                    }
                },
                "runtime": {"name": "python", "version": f"[{parameter('pythonVersion')}]"},
                "scaleAndConcurrency": {
                    "instanceMemoryMB": f"[{parameter('instanceMemoryMB')}]",
                    "maximumInstanceCount": f"[{parameter('maximumInstanceCount')}]",
                    "alwaysReady": f"[{parameter('alwaysReady')}]",
                },
            },
            "siteConfig": {"minTlsVersion": "1.2"},
        },
        "dependsOn": [f"[{PLAN_ID}]", f"[{storage.container_id(package)}]"],
    }


def _settings() -> Json:
    """All of the app's settings: a deployment replaces whatever is set otherwise."""
    insights = f"reference({telemetry.COMPONENT_ID}, '{telemetry.COMPONENT_API}')"
    ours = (
        "createObject("
        f"'AzureWebJobsStorage__accountName', {storage.ACCOUNT_NAME}, "
        "'AzureWebJobsStorage__credential', 'managedidentity', "
        f"'{CONTAINER_VARIABLE}', '{storage.CLAIM_CONTAINER}', "
        f"'{THRESHOLD_VARIABLE}', '{CLAIMED_FROM}', "
        f"'APPLICATIONINSIGHTS_CONNECTION_STRING', {insights}.ConnectionString, "
        "'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', 'Authorization=AAD', "
        # Threads for as many activities and orchestrators as host.json allows at a time.
        "'PYTHON_THREADPOOL_THREAD_COUNT', '32')"
    )
    return {
        "type": SETTINGS,
        "apiVersion": API,
        "name": f"[format('{{0}}/appsettings', {NAME})]",
        "properties": f"[union({ours}, {parameter('appSettings')})]",
        "dependsOn": [f"[{SITE_ID}]", f"[{telemetry.COMPONENT_ID}]"],
    }


def _no_password(way: str) -> Json:
    return {
        "type": PUBLISHING,
        "apiVersion": API,
        "name": f"[format('{{0}}/{way}', {NAME})]",
        "properties": {"allow": False},
        "dependsOn": [f"[{SITE_ID}]"],
    }

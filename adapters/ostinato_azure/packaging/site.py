"""The function app on its Flex Consumption plan."""

from __future__ import annotations

from ostinato_azure.claims import CONTAINER_VARIABLE, THRESHOLD_VARIABLE
from ostinato_azure.packaging import storage, telemetry
from ostinato_azure.packaging.arm import TAGS, Json, parameter, resource_id

API = "2024-11-01"
PLAN = "Microsoft.Web/serverfarms"
SITE = "Microsoft.Web/sites"
SETTINGS = f"{SITE}/config"
PUBLISHING = f"{SITE}/basicPublishingCredentialsPolicies"

CLAIMED_FROM = 256 * 1024
"""Bytes beyond which payloads are claimed: each turn brings all that the history holds, and who
looks at instances from outside sees what is smaller without access to storage."""

ZONES = "zoneRedundant"
"""The parameter that says whether instances are spread over zones."""

HTTP_CONCURRENCY = "httpConcurrency"
"""The parameter that says how many requests an instance takes at a time."""

UPDATES = "siteUpdateStrategy"
"""The parameter that says what a deployment does to instances that run."""

SUBNET = "subnetId"
"""The parameter with the subnet from which the app calls others."""

NAME = parameter("name")
PLAN_ID = resource_id(PLAN, NAME)
SITE_ID = resource_id(SITE, NAME)
SETTINGS_ID = resource_id(SETTINGS, NAME, "'appsettings'")
PRINCIPAL = f"reference({SITE_ID}, '{API}', 'full').identity.principalId"
HOST_NAME = f"reference({SITE_ID}, '{API}').defaultHostName"


def site_resources() -> list[Json]:
    """Return the plan, the app, its settings, and the refusal of passwords for publishing."""
    ftp = _no_password("ftp", after=SETTINGS_ID)
    scm = _no_password("scm", after=resource_id(PUBLISHING, NAME, "'ftp'"))
    return [_plan(), _site(), _settings(), ftp, scm]


def _plan() -> Json:
    return {
        "type": PLAN,
        "apiVersion": API,
        "name": f"[{NAME}]",
        "location": f"[{parameter('location')}]",
        "tags": TAGS,
        "kind": "functionapp",
        "sku": {"name": "FC1", "tier": "FlexConsumption"},
        "properties": {"reserved": True, "zoneRedundant": f"[{parameter(ZONES)}]"},
    }


def _site() -> Json:
    blobs = f"reference({storage.ACCOUNT_ID}, '{storage.API}').primaryEndpoints.blob"
    package = storage.PACKAGE_CONTAINER
    return {
        "type": SITE,
        "apiVersion": API,
        "name": f"[{NAME}]",
        "location": f"[{parameter('location')}]",
        "tags": TAGS,
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
                    "triggers": {
                        "http": {"perInstanceConcurrency": f"[{parameter(HTTP_CONCURRENCY)}]"}
                    },
                },
                "siteUpdateStrategy": {"type": f"[{parameter(UPDATES)}]"},
            },
            "virtualNetworkSubnetId": (
                f"[if(empty({parameter(SUBNET)}), null(), {parameter(SUBNET)})]"
            ),
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


def _no_password(way: str, *, after: str) -> Json:
    """Each writes to the site: one after another, since two at a time may conflict."""
    return {
        "type": PUBLISHING,
        "apiVersion": API,
        "name": f"[format('{{0}}/{way}', {NAME})]",
        "properties": {"allow": False},
        "dependsOn": [f"[{after}]"],
    }

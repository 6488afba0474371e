"""The ARM template of all that a function app needs, from an empty resource group."""

from __future__ import annotations

import re
from collections.abc import Iterable

import ostinato as ost
from ostinato.triggers import Blob, Http, Queue, Trigger
from ostinato_azure.packaging import site, storage, telemetry
from ostinato_azure.packaging.arm import Json, parameter, parameters_file, template
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.roles import role_resources
from ostinato_azure.packaging.site import site_resources
from ostinato_azure.packaging.storage import account_resources
from ostinato_azure.packaging.target import PYTHONS
from ostinato_azure.packaging.telemetry import telemetry_resources

PREFIX_LENGTH = 20
"""Characters of the part of the names that people choose."""

NAME_LENGTHS = (4, 44)
"""Of the function app's name, which others have too: a workspace for logs from 4 characters on, the
topic of blobs' events, which adds six, up to 50."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,42}[A-Za-z0-9]")

RECORD_DAYS = 90
"""Longer than a queue keeps a message, and than senders of requests try again."""

LOG_DAYS = 30
"""The least that there is, and included in the price of taking them in."""

MANAGEMENT = "/runtime/webhooks/durabletask"


def main_template(app: ost.App) -> Json:
    """Return the template; what of it depends on the app is its queues and containers."""
    return template(
        parameters=_parameters(app),
        variables={
            # 3 to 24 lower-case letters and digits; the second part has 13.
            "storageName": (
                f"[concat(take(replace(toLower({parameter('namePrefix')}), '-', ''), 11), "
                f"uniqueString(resourceGroup().id, {parameter('name')}))]"
            )
        },
        resources=[
            *account_resources(queues(app), containers(app)),
            *telemetry_resources(),
            *site_resources(),
            *role_resources(),
        ],
        outputs={
            "name": _output(parameter("name")),
            "storageName": _output(storage.ACCOUNT_NAME),
            "hostName": _output(site.HOST_NAME),
            "managementUrl": _output(f"concat('https://', {site.HOST_NAME}, '{MANAGEMENT}')"),
        },
    )


def main_parameters(app: ost.App) -> Json:
    """Return the values to begin with, for people to change."""
    return parameters_file(
        {
            "namePrefix": name_prefix(app),
            "pythonVersion": PYTHONS[-1],
            "instanceMemoryMB": 2048,
            "maximumInstanceCount": 100,
            "alwaysReady": [],
            storage.REDUNDANCY: storage.REDUNDANCIES[0],
            telemetry.LOG_DAYS: LOG_DAYS,
            storage.RECORD_DAYS: RECORD_DAYS,
            storage.CLAIM_DAYS: 0,
        }
    )


def check_name(name: str) -> None:
    """See that a function app can have a name.

    Raises:
        PackagingError: It cannot.
    """
    if _NAME.fullmatch(name) is None:
        least, most = NAME_LENGTHS
        raise PackagingError(
            f"--name {name}: a function app's name is {least} to {most} letters, digits and "
            "hyphens, with no hyphen at its ends"
        )


def name_prefix(app: ost.App) -> str:
    """Return the app's name as part of the names of Azure's resources."""
    kept = re.sub(r"[^a-z0-9]+", "-", app.name.lower()).strip("-")[:PREFIX_LENGTH].strip("-")
    return (
        kept if kept[:1].isalpha() and len(kept) > 1 else f"app-{kept}"[:PREFIX_LENGTH].strip("-")
    )


def queues(app: ost.App) -> list[str]:
    """Return the queues whose messages start orchestrations, sorted."""
    return sorted({t.name for t in _triggers(app) if isinstance(t, Queue)})


def containers(app: ost.App) -> list[str]:
    """Return the containers whose blobs start orchestrations, sorted."""
    return sorted({t.pattern.partition("/")[0] for t in _triggers(app) if isinstance(t, Blob)})


def secret_settings(app: ost.App) -> list[str]:
    """Return the environment variables in which webhooks expect their secrets, sorted."""
    checks = [t.auth for t in _triggers(app) if isinstance(t, Http) and t.auth is not None]
    return sorted({env for auth in checks for env in (auth.key_env, auth.hmac_env) if env})


def open_routes(app: ost.App) -> list[str]:
    """Return the methods and routes of requests that anybody may send, sorted."""
    return sorted(
        f"{','.join(t.methods)} /api/{t.route}"
        for t in _triggers(app)
        if isinstance(t, Http) and t.auth is None
    )


def _triggers(app: ost.App) -> Iterable[Trigger]:
    return (t for definition in app.registry.orchestrations() for t in definition.triggers)


def _parameters(app: ost.App) -> Json:
    return {
        "location": {
            "type": "string",
            "defaultValue": "[resourceGroup().location]",
            "metadata": {"description": "A region that has Flex Consumption."},
        },
        "namePrefix": {
            "type": "string",
            "defaultValue": name_prefix(app),
            "minLength": 2,
            "maxLength": PREFIX_LENGTH,
            "metadata": {"description": "Begins the names; letters, digits and hyphens."},
        },
        "name": {
            "type": "string",
            "defaultValue": (
                f"[format('{{0}}-{{1}}', {parameter('namePrefix')}, "
                "uniqueString(resourceGroup().id))]"
            ),
            "minLength": NAME_LENGTHS[0],
            "maxLength": NAME_LENGTHS[1],
            "metadata": {"description": "The function app's name, unique in all of Azure."},
        },
        "pythonVersion": {
            "type": "string",
            "defaultValue": PYTHONS[-1],
            "allowedValues": list(PYTHONS),
            "metadata": {"description": "The one that the package was built for."},
        },
        "instanceMemoryMB": {
            "type": "int",
            "defaultValue": 2048,
            "allowedValues": [512, 2048, 4096],
            "metadata": {"description": "MB of memory that each instance has."},
        },
        "maximumInstanceCount": {
            "type": "int",
            "defaultValue": 100,
            "minValue": 1,
            "maxValue": 1000,
            "metadata": {"description": "How many instances there may be at a time."},
        },
        "alwaysReady": {
            "type": "array",
            "defaultValue": [],
            "metadata": {
                "description": (
                    "Instances that never go away, by group: "
                    '[{"name": "durable", "instanceCount": 1}]; other groups are http and blob.'
                )
            },
        },
        storage.REDUNDANCY: {
            "type": "string",
            "defaultValue": storage.REDUNDANCIES[0],
            "allowedValues": list(storage.REDUNDANCIES),
            "metadata": {"description": "Copies of what is stored: LRS in one datacenter."},
        },
        telemetry.LOG_DAYS: {
            "type": "int",
            "defaultValue": LOG_DAYS,
            "minValue": 30,
            "maxValue": 730,
            "metadata": {"description": "Days for which logs are kept."},
        },
        storage.RECORD_DAYS: {
            "type": "int",
            "defaultValue": RECORD_DAYS,
            "minValue": 1,
            "metadata": {
                "description": (
                    "Days for which events that started instances are remembered, so that one "
                    "delivered again starts nothing even if the instance was purged."
                )
            },
        },
        storage.CLAIM_DAYS: {
            "type": "int",
            "defaultValue": 0,
            "minValue": 0,
            "metadata": {
                "description": (
                    "Days after which a large payload that nothing stored again is deleted; 0 "
                    "keeps them all. Longer than any instance lives, by a day at least."
                )
            },
        },
        "appSettings": {
            "type": "secureObject",
            "defaultValue": {},
            "metadata": {
                "description": (
                    "Further settings by name, secrets among them. "
                    "Settings made otherwise are gone after a deployment."
                )
            },
        },
    }


def _output(expression: str) -> Json:
    return {"type": "string", "value": f"[{expression}]"}

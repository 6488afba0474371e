"""The ARM template of all that a function app needs, from an empty resource group."""

from __future__ import annotations

import re
from collections.abc import Iterable

import ostinato as ost
from ostinato.triggers import Blob, Http, Queue, Trigger
from ostinato_azure.packaging import events, site, storage, telemetry
from ostinato_azure.packaging.arm import TAGS, Json, declared, parameter, parameters_file, template
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.parameters import PYTHON, SETTINGS
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

LOG_DAYS = 90
"""What Application Insights keeps in any case, included in the price of taking it in."""

HTTP_CONCURRENCY = 16
"""Requests at a time: as many as functions that start instances, and mostly wait, can have. Flex
Consumption's own for Python is 1, by which ten webhooks at once ask for ten instances."""

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
            "location": _output(parameter("location")),
            "siteId": _output(site.SITE_ID),
            "storageId": _output(storage.ACCOUNT_ID),
            "principalId": _output(site.PRINCIPAL),
            events.GIVEN_TOPIC: _output(parameter(events.GIVEN_TOPIC)),
            "tags": {"type": "object", "value": TAGS},
        },
    )


def main_parameters(app: ost.App) -> Json:
    """Return the values to begin with, for people to change."""
    return parameters_file(
        {
            "namePrefix": name_prefix(app),
            PYTHON: PYTHONS[-1],
            "instanceMemoryMB": 2048,
            "maximumInstanceCount": 100,
            "alwaysReady": [],
            site.HTTP_CONCURRENCY: HTTP_CONCURRENCY,
            storage.REDUNDANCY: storage.REDUNDANCIES[0],
            telemetry.LOG_DAYS: LOG_DAYS,
            storage.RECORD_DAYS: RECORD_DAYS,
            storage.CLAIM_DAYS: 0,
            telemetry.ACTION_GROUP: "",
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
        "location": declared(
            "string",
            "A region that has Flex Consumption.",
            default="[resourceGroup().location]",
        ),
        "namePrefix": declared(
            "string",
            "Begins the names; letters, digits and hyphens.",
            default=name_prefix(app),
            minLength=2,
            maxLength=PREFIX_LENGTH,
        ),
        "name": declared(
            "string",
            "The function app's name, unique in all of Azure.",
            default=f"[format('{{0}}-{{1}}', {parameter('namePrefix')}, "
            "uniqueString(resourceGroup().id))]",
            minLength=NAME_LENGTHS[0],
            maxLength=NAME_LENGTHS[1],
        ),
        PYTHON: declared(
            "string",
            "The one that the package was built for.",
            default=PYTHONS[-1],
            allowedValues=list(PYTHONS),
        ),
        "instanceMemoryMB": declared(
            "int",
            "MB of memory that each instance has.",
            default=2048,
            allowedValues=[512, 2048, 4096],
        ),
        "maximumInstanceCount": declared(
            "int",
            "How many instances there may be at a time.",
            default=100,
            minValue=1,
            maxValue=1000,
        ),
        "alwaysReady": declared(
            "array",
            "Instances that never go away, by group: "
            '[{"name": "durable", "instanceCount": 1}]; other groups are http and blob, '
            "and function:<name> for each other function.",
            default=[],
        ),
        site.HTTP_CONCURRENCY: declared(
            "int",
            "How many requests an instance takes at a time.",
            default=HTTP_CONCURRENCY,
            minValue=1,
            maxValue=1000,
        ),
        site.UPDATES: declared(
            "string",
            "What a deployment does to instances that run: ends them, and what they did "
            "runs again, or (a preview) lets them end.",
            default="Recreate",
            allowedValues=["Recreate", "RollingUpdate"],
        ),
        site.ZONES: declared(
            "bool",
            "Spread over zones; chosen once, with storageRedundancy a ZRS.",
            default=False,
        ),
        site.SUBNET: declared(
            "string",
            "Id of the subnet, delegated to Microsoft.App/environments, from which the "
            "app calls others; empty is none.",
            default="",
        ),
        storage.PUBLIC_ACCESS: declared(
            "string",
            "Disabled: the storage account answers private endpoints only, which have to "
            "be there for blob, queue and table.",
            default="Enabled",
            allowedValues=["Enabled", "Disabled"],
        ),
        storage.REDUNDANCY: declared(
            "string",
            "Copies of what is stored: LRS in one datacenter; chosen once.",
            default=storage.REDUNDANCIES[0],
            allowedValues=list(storage.REDUNDANCIES),
        ),
        telemetry.LOG_DAYS: declared(
            "int",
            "Days for which logs are kept; what Application Insights writes, 90 at least.",
            default=LOG_DAYS,
            minValue=30,
            maxValue=730,
        ),
        telemetry.OWN_WORKSPACE: declared(
            "string",
            "Id of a workspace for logs; empty makes one.",
            default="",
        ),
        telemetry.ACTION_GROUP: declared(
            "string",
            "Id of the action group that is told of failed instances and of messages "
            "that were given up; empty makes no alerts.",
            default="",
        ),
        events.GIVEN_TOPIC: declared(
            "string",
            "Name of the storage account's Event Grid system topic where something else "
            "made one, as Defender for Storage does; empty makes one for Blob triggers.",
            default="",
        ),
        "tags": declared(
            "object",
            "Of every resource.",
            default={},
        ),
        storage.RECORD_DAYS: declared(
            "int",
            "Days for which events that started instances are remembered, so that one "
            "delivered again starts nothing even if the instance was purged.",
            default=RECORD_DAYS,
            minValue=1,
        ),
        storage.CLAIM_DAYS: declared(
            "int",
            "Days after which a large payload that nothing stored again is deleted; 0 "
            "keeps them all. Longer than any instance lives, by a day at least.",
            default=0,
            minValue=0,
        ),
        SETTINGS: declared(
            "secureObject",
            "Further settings by name, secrets among them. "
            "Settings made otherwise are gone after a deployment.",
            default={},
        ),
    }


def _output(expression: str) -> Json:
    return {"type": "string", "value": f"[{expression}]"}

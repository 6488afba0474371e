"""Application Insights on a Log Analytics workspace, to which identities alone write; alerts."""

from __future__ import annotations

from ostinato_azure.packaging.arm import TAGS, Json, parameter, resource_id

COMPONENT = "Microsoft.Insights/components"
WORKSPACE = "Microsoft.OperationalInsights/workspaces"
RULE = "Microsoft.Insights/scheduledQueryRules"
COMPONENT_API = "2020-02-02"

NAME = parameter("name")
COMPONENT_ID = resource_id(COMPONENT, NAME)
WORKSPACE_ID = resource_id(WORKSPACE, NAME)

LOG_DAYS = "logRetentionDays"
"""The parameter that says how long logs are kept."""

OWN_WORKSPACE = "workspaceId"
"""The parameter with the id of a workspace that is there already."""

ACTION_GROUP = "actionGroupId"
"""The parameter with the id of the action group that alerts go to."""

_NONE_GIVEN = f"empty({parameter(OWN_WORKSPACE)})"
_IN_USE = f"if({_NONE_GIVEN}, {WORKSPACE_ID}, {parameter(OWN_WORKSPACE)})"
"""Expressions: whether a workspace is made, and which it is that logs go to."""

_FAILED = 'Message matches regex "^instance [^ ]+ (failed: |gave up )"'
"""What the adapter logs of an instance that fails, or whose event or child it gives up."""

_POISONED = 'Message has "-poison" and Message has "Moving message"'
"""What the host logs when it gives a message up."""


def telemetry_resources() -> list[Json]:
    """Return the workspace, the component, and the alerts."""
    return [
        {
            "type": WORKSPACE,
            "apiVersion": "2023-09-01",
            "name": f"[{NAME}]",
            "location": f"[{parameter('location')}]",
            "tags": TAGS,
            "condition": f"[{_NONE_GIVEN}]",
            "properties": {
                "sku": {"name": "PerGB2018"},
                "retentionInDays": f"[{parameter(LOG_DAYS)}]",
                "features": {"disableLocalAuth": True},
            },
        },
        {
            "type": COMPONENT,
            "apiVersion": COMPONENT_API,
            "name": f"[{NAME}]",
            "location": f"[{parameter('location')}]",
            "tags": TAGS,
            "kind": "web",
            "properties": {
                "Application_Type": "web",
                "WorkspaceResourceId": f"[{_IN_USE}]",
                "DisableLocalAuth": True,
            },
            "dependsOn": [f"[{WORKSPACE_ID}]"],
        },
        _alert("failed-instances", "An instance failed, or could not send.", _FAILED),
        _alert("poisoned-messages", "A message of a queue was given up.", _POISONED),
    ]


def _alert(name: str, description: str, logged: str) -> Json:
    """A rule that looks every five minutes for lines that have come in since.

    They are looked for by when they came in, which may be minutes after they were logged.
    """
    query = (
        "AppTraces | where _ResourceId =~ ''{0}'' and ingestion_time() > ago(5m)"
        f" | where {logged} | project TimeGenerated, Message, OperationId"
    )
    return {
        "type": RULE,
        "apiVersion": "2023-12-01",
        "name": f"[format('{{0}}-{name}', {NAME})]",
        "location": f"[{parameter('location')}]",
        "tags": TAGS,
        "condition": f"[not(empty({parameter(ACTION_GROUP)}))]",
        "kind": "LogAlert",
        "properties": {
            "displayName": f"[format('{{0}}: {name}', {NAME})]",
            "description": description,
            "severity": 2,
            "enabled": True,
            "scopes": [f"[{_IN_USE}]"],
            "evaluationFrequency": "PT5M",
            "windowSize": "PT30M",
            "criteria": {
                "allOf": [
                    {
                        "query": f"[format('{query}', {COMPONENT_ID})]",
                        "timeAggregation": "Count",
                        "operator": "GreaterThan",
                        "threshold": 0,
                    }
                ]
            },
            "actions": {"actionGroups": [f"[{parameter(ACTION_GROUP)}]"]},
            "autoMitigate": False,
        },
        "dependsOn": [f"[{COMPONENT_ID}]", f"[{WORKSPACE_ID}]"],
    }

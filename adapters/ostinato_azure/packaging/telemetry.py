"""Application Insights on a Log Analytics workspace; only identities may write to it."""

from __future__ import annotations

from ostinato_azure.packaging.arm import Json, parameter, resource_id

COMPONENT = "Microsoft.Insights/components"
WORKSPACE = "Microsoft.OperationalInsights/workspaces"
COMPONENT_API = "2020-02-02"

NAME = parameter("name")
COMPONENT_ID = resource_id(COMPONENT, NAME)
WORKSPACE_ID = resource_id(WORKSPACE, NAME)

LOG_DAYS = "logRetentionDays"
"""The parameter that says how long logs are kept."""


def telemetry_resources() -> list[Json]:
    """Return the workspace and the component."""
    return [
        {
            "type": WORKSPACE,
            "apiVersion": "2023-09-01",
            "name": f"[{NAME}]",
            "location": f"[{parameter('location')}]",
            "properties": {
                "sku": {"name": "PerGB2018"},
                "retentionInDays": f"[{parameter(LOG_DAYS)}]",
            },
        },
        {
            "type": COMPONENT,
            "apiVersion": COMPONENT_API,
            "name": f"[{NAME}]",
            "location": f"[{parameter('location')}]",
            "kind": "web",
            "properties": {
                "Application_Type": "web",
                "WorkspaceResourceId": f"[{WORKSPACE_ID}]",
                "DisableLocalAuth": True,
            },
            "dependsOn": [f"[{WORKSPACE_ID}]"],
        },
    ]

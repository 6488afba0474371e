"""What the app's identity may do: no more than the host, the task hub and the triggers need.

Ids: Microsoft's list of Azure built-in roles. The host keeps its locks and keys in blobs, for
which it needs to own them; the task hub creates queues, tables and containers of its own.
"""

from __future__ import annotations

from ostinato_azure.packaging import site, storage, telemetry
from ostinato_azure.packaging.arm import Json

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"

STORAGE_ROLES = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}
TELEMETRY_ROLES = {
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
}


def role_resources() -> list[Json]:
    """Return the assignments, each on one resource."""
    on_storage = (storage.ACCOUNT, storage.ACCOUNT_NAME, storage.ACCOUNT_ID)
    on_telemetry = (telemetry.COMPONENT, telemetry.NAME, telemetry.COMPONENT_ID)
    return [
        *(_assignment(title, role, *on_storage) for title, role in STORAGE_ROLES.items()),
        *(_assignment(title, role, *on_telemetry) for title, role in TELEMETRY_ROLES.items()),
    ]


def _assignment(title: str, role: str, kind: str, name: str, scope_id: str) -> Json:
    return {
        "type": ASSIGNMENT,
        "apiVersion": "2022-04-01",
        "name": f"[guid({scope_id}, {site.SITE_ID}, '{role}')]",
        "scope": f"[format('{kind}/{{0}}', {name})]",
        "properties": {
            "description": title,
            "roleDefinitionId": (
                f"[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{role}')]"
            ),
            "principalId": f"[{site.PRINCIPAL}]",
            "principalType": "ServicePrincipal",
        },
        "dependsOn": [f"[{site.SITE_ID}]", f"[{scope_id}]"],
    }

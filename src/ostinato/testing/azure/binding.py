"""URLs of the management API, and the text by which a durable client learns them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote_plus, urlencode

from ostinato.testing.azure.dotnet import json_text

INSTANCE_ID = "INSTANCEID"
"""What stands for the instance id in the URLs that a client is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The public end of the management API."""

    base: str
    """``http(s)://host/runtime/webhooks/durabletask``."""
    hub: str
    connection: str = "Storage"
    """The name of the storage connection."""
    code: str = ""
    """The key that the URLs hold."""

    def links(self, instance_id: str, *, is_failure_an_error: bool = False) -> dict[str, str]:
        """The check-status answer about an instance, in the extension's order."""
        instance = f"{self.base}/instances/{quote_plus(instance_id)}"
        failure = "&returnInternalServerErrorOnFailure=true" if is_failure_an_error else ""
        return {
            "id": instance_id,
            "statusQueryGetUri": f"{instance}?{self.query}{failure}",
            "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{self.query}",
            "terminatePostUri": self._with_reason(instance, "terminate"),
            "purgeHistoryDeleteUri": f"{instance}?{self.query}",
            "restartPostUri": f"{instance}/restart?{self.query}",
            "suspendPostUri": self._with_reason(instance, "suspend"),
            "resumePostUri": self._with_reason(instance, "resume"),
        }

    def client_links(self) -> dict[str, str]:
        """The ``managementUrls`` of a client, which has one more: rewind, after terminate."""
        links = dict[str, str]()
        for name, link in self.links(INSTANCE_ID).items():
            links[name] = link
            if name == "terminatePostUri":
                instance = f"{self.base}/instances/{INSTANCE_ID}"
                links["rewindPostUri"] = self._with_reason(instance, "rewind")
        return links

    @property
    def query(self) -> str:
        """The query parameters of every URL."""
        given = {"taskHub": self.hub, "connection": self.connection, "code": self.code}
        return urlencode(given)

    def _with_reason(self, instance: str, what: str) -> str:
        return f"{instance}/{what}?reason={{text}}&{self.query}"


def client_payload(webhook: Webhook, rpc: str, *, grpc: bool = False) -> str:
    """The text of a ``durableClient`` binding.

    Args:
        webhook: The management API.
        rpc: ``rpcBaseUrl``: its loopback end, or the gRPC service for apps on protobuf.
        grpc: Whether it is the latter, of which clients are told a few things more.
    """
    create = f"{webhook.base}/orchestrators/{{functionName}}[/{{instanceId}}]"
    code = urlencode({"code": webhook.code})
    told: dict[str, object] = {
        "taskHubName": webhook.hub,
        "connectionName": None,
        "creationUrls": {
            "createNewInstancePostUri": f"{create}?{code}",
            "createAndWaitOnNewInstancePostUri": (
                f"{create}?timeout={{timeoutInSeconds}}"
                f"&pollingInterval={{intervalInSeconds}}&{code}"
            ),
        },
        "managementUrls": webhook.client_links(),
        "baseUrl": webhook.base,
        "requiredQueryStringParameters": code,
        "rpcBaseUrl": rpc,
        "httpBaseUrl": webhook.base,
    }
    if grpc:
        told |= {"maxGrpcMessageSizeInBytes": 2**31 - 1, "grpcHttpClientTimeout": "00:01:40"}
    return json_text(told)

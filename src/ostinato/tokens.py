"""Tokens of Microsoft Entra ID: named by the history, fetched where a request is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ostinato.errors import OstinatoError

if TYPE_CHECKING:
    from azure.identity import DefaultAzureCredential


@dataclass(frozen=True, slots=True)
class ManagedIdentityTokenSource:
    """A token for a resource, of the identity under which the process runs.

    That is the managed identity of a function app, else what `azure.identity`'s
    DefaultAzureCredential finds: the environment, a workload identity, the developer's sign-in.
    Of several user-assigned identities the variable ``AZURE_CLIENT_ID`` names the one to use.

    Attributes:
        resource: The identifier of the API that is called, such as ``https://graph.microsoft.com``
            or ``https://management.core.windows.net/``, with or without ``/.default``.
    """

    resource: str


def resource_of(token_source: Any) -> str:
    """Return the resource of a token source; one of azure-functions-durable will do as well.

    Raises:
        TypeError: It is none.
    """
    resource = getattr(token_source, "resource", None)
    if not isinstance(resource, str) or not resource:
        raise TypeError(
            "token_source must be ost.ManagedIdentityTokenSource(resource), not "
            f"{type(token_source).__name__}"
        )
    return resource


def token_for(resource: str) -> str:
    """Fetch a token, or one that was fetched before and is valid yet.

    Raises:
        OstinatoError: azure-identity is not installed, or no identity gets one.
    """
    try:
        from azure.core.exceptions import ClientAuthenticationError

        credential = _credential()
    except ModuleNotFoundError as error:
        raise OstinatoError(
            "token_source needs azure-identity: pip install 'ostinato[azure]'"
        ) from error
    scope = resource if resource.endswith("/.default") else f"{resource}/.default"
    try:
        return credential.get_token(scope).token
    except ClientAuthenticationError as error:
        raise OstinatoError(f"there is no token for {resource!r}: {error.message}") from error


@lru_cache(maxsize=1)
def _credential() -> DefaultAzureCredential:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()

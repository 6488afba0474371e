"""What the app's functions do when they are called, with large payloads claimed where that is on.

What a function does not need is not loaded with it.
"""

from __future__ import annotations

from typing import Any

from ostinato.app import App
from ostinato.definitions import ActivityDefinition
from ostinato_azure.activity import perform, perform_async
from ostinato_azure.claims import app_claims
from ostinato_azure.live import LiveTables
from ostinato_azure.table import Surroundings


def orchestrate(request: str, around: Surroundings, live: LiveTables) -> str:
    """Answer an orchestration trigger; see `ostinato_azure.wires.respond`.

    Raises:
        OrchestrationFailedError: The orchestration failed, on the classic wire.
    """
    claims = app_claims()
    if claims is None:
        from ostinato_azure.wires import respond

        return respond(request, around, live)
    from ostinato_azure.claimed import respond_claimed

    return respond_claimed(request, around, live, claims)


def run(definition: ActivityDefinition, given: Any, limit: int) -> Any:
    """Run a sync activity; see `ostinato_azure.activity.perform`.

    Raises:
        ActivityFailedError: The attempt raised or timed out.
        ClaimError: A payload cannot be stored or read.
    """
    claims = app_claims()
    if claims is None:
        return perform(definition, given, limit)
    from ostinato_azure.claimed import claim_returned, fetch_given

    fetched = fetch_given(given, claims)
    return claim_returned(perform(definition, fetched, limit), fetched, claims)


async def run_async(definition: ActivityDefinition, given: Any, limit: int) -> Any:
    """Run an async activity; as `run`."""
    claims = app_claims()
    if claims is None:
        return await perform_async(definition, given, limit)
    from asyncio import to_thread  # storage is asked by blocking calls

    from ostinato_azure.claimed import claim_returned, fetch_given

    fetched = await to_thread(fetch_given, given, claims)
    value = await perform_async(definition, fetched, limit)
    return await to_thread(claim_returned, value, fetched, claims)


def operate(given: Any, binding: str, app: App) -> str | None:
    """Perform an operation with the durable client; see `ostinato_azure.client_activity.perform`.

    Args:
        given: The operation's text.
        binding: That of the durable client.
        app: The application.

    Raises:
        AzureError: The app's own management API does not answer.
        ClaimError: A payload cannot be stored or read.
    """
    from ostinato_azure import client_activity
    from ostinato_azure.client import AzureClient

    claims = app_claims()
    if claims is not None:
        from ostinato_azure.claimed import fetch_given

        given = fetch_given(given, claims)
    client = AzureClient.from_binding(binding, app=app, claims=claims)
    try:
        return client_activity.perform(given, client)
    finally:
        client.close()

"""The wires by which the Durable extension asks; each request says by itself which one it is on."""

from __future__ import annotations

from ostinato_azure.live import LiveTables
from ostinato_azure.table import Surroundings


def is_classic(request: str) -> bool:
    """Whether a request came by the classic wire, which is JSON; the other one is base64."""
    return request.lstrip().startswith("{")


def respond(request: str, around: Surroundings, live: LiveTables | None = None) -> str:
    """Return the answer to an orchestration trigger's text, on the wire that it came by.

    Args:
        request: The text.
        around: The function app.
        live: Where executions are kept between their turns, if anywhere.

    Raises:
        OrchestrationFailedError: The orchestration failed, on the classic wire.
    """
    if is_classic(request):
        from ostinato_azure.classic import respond as respond_classic

        return respond_classic(request, around, live)
    from ostinato_azure.durabletask import respond as respond_protobuf

    return respond_protobuf(request, around, live)

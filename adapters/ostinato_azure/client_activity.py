"""The reserved activity with the durable client: operations that are idempotent, so that one
performed twice has the effect of one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import assert_never

from ostinato.errors import InstanceFinishedError, InstanceNotFoundError
from ostinato_azure.appearing import APPEARS_IN, Patience
from ostinato_azure.client import AzureClient
from ostinato_azure.operations import CheckId, Send, StartDetached, TerminateTree, read_operation

STRANGERS_APPEAR_IN = 3.0
"""Seconds in which an instance that is not the sender's child must be there for an event: it may
be another's that was just asked for."""

_PAUSE = 2.0
"""Seconds before an operation that failed is tried again; twice as long each time."""

_logger = logging.getLogger(__name__)


def perform(
    text: str, client: AzureClient, *, pause: Callable[[float], None] = time.sleep
) -> str | None:
    """Perform an operation; `CheckId` is answered, nothing else.

    Args:
        text: The operation's.
        client: Of the function app.
        pause: Waits for a number of seconds.

    Raises:
        InstanceNotFoundError: A child that was asked for does not appear.
    """
    operation = read_operation(text)
    if operation.tries:
        pause(_PAUSE * 2 ** (operation.tries - 1))
    match operation:
        case Send():
            _send(client, operation)
        case StartDetached(instance_id, name, payload):
            client.start_payload(name, instance_id, payload)
        case TerminateTree(instance_id, reason):
            with suppress(InstanceFinishedError):  # its children, too: it is raised after them
                client.terminate_child(instance_id, reason, replaces=operation.replaces)
        case CheckId(instance_id, lingers):
            return _check(client, instance_id, APPEARS_IN if lingers else 0.0)
        case _:
            assert_never(operation)
    return None


def _send(client: AzureClient, send: Send) -> None:
    act = partial(client.send_payload, send.instance_id, send.name, send.data, send.event_id)
    patience = Patience(APPEARS_IN if send.is_child else STRANGERS_APPEAR_IN)
    try:
        patience.when_there(act, is_other=lambda: send.replaces)
    except InstanceFinishedError:
        pass  # by the rules of send_event no error, and the same goes for one that is unknown
    except InstanceNotFoundError:
        if send.is_child:
            raise
        _logger.warning("nobody gets event %r: there is no %r", send.name, send.instance_id)


def _check(client: AzureClient, instance_id: str, patience: float) -> str:
    try:
        status = client.await_status(instance_id, lambda status: status.is_finished, patience)
    except InstanceNotFoundError:
        return "free"
    return "over" if status.is_finished else "taken"

"""The reserved activity with the durable client: operations that are idempotent, so that one
performed twice has the effect of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import assert_never

from ostinato.errors import InstanceFinishedError, InstanceNotFoundError
from ostinato_azure.appearing import APPEARS_IN, when_there
from ostinato_azure.client import AzureClient
from ostinato_azure.operations import CheckId, Send, StartDetached, TerminateTree, read_operation

_PAUSE = 2.0
"""Seconds before an operation that failed is tried again; twice as long each time."""


def perform(
    text: str, client: AzureClient, *, pause: Callable[[float], None] = time.sleep
) -> str | None:
    """Perform an operation; of `CheckId` the answer is ``free`` or ``taken``.

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
        case Send(instance_id, name, data, event_id, may_be_new):
            send = partial(client.send_payload, instance_id, name, data, event_id)
            try:
                when_there(send) if may_be_new else send()
            except InstanceFinishedError:
                return None  # by the rules of send_event no error
            except InstanceNotFoundError:
                if may_be_new:
                    raise
        case StartDetached(instance_id, name, payload):
            client.start_payload(name, instance_id, payload)
        case TerminateTree(instance_id, reason):
            try:
                when_there(partial(client.terminate, instance_id, reason))
            except InstanceFinishedError:
                return None  # what an earlier try left of its tree has been ended before this
        case CheckId(instance_id, lingers):
            return _check(client, instance_id, APPEARS_IN if lingers else 0.0)
        case _:
            assert_never(operation)
    return None


def _check(client: AzureClient, instance_id: str, patience: float) -> str:
    try:
        status = client.await_status(instance_id, lambda status: status.is_finished, patience)
    except InstanceNotFoundError:
        return "free"
    return "free" if status.is_finished else "taken"

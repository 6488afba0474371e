"""The reserved activity with the durable client: operations that are idempotent, so that one
performed twice has the effect of one."""

from __future__ import annotations

import time
from typing import assert_never

from ostinato.errors import InstanceFinishedError, InstanceNotFoundError
from ostinato_azure.client import AzureClient
from ostinato_azure.operations import CheckId, Send, StartDetached, TerminateTree, read_operation

_PATIENCE = 20.0
"""Seconds for which a child that was just asked for may not be there yet."""


def perform(text: str, client: AzureClient) -> str | None:
    """Perform an operation; of `CheckId` the answer is ``free`` or ``taken``."""
    operation = read_operation(text)
    match operation:
        case Send(instance_id, name, data, event_id):
            try:
                client.send_payload(instance_id, name, data, event_id)
            except (InstanceNotFoundError, InstanceFinishedError):
                return None  # by the rules of send_event no error
        case StartDetached(instance_id, name, payload):
            client.start_payload(name, instance_id, payload)
        case TerminateTree(instance_id, reason):
            _terminate(client, instance_id, reason)
        case CheckId(instance_id):
            return _check(client, instance_id)
        case _:
            assert_never(operation)
    return None


def _terminate(client: AzureClient, instance_id: str, reason: str) -> None:
    deadline, pause = time.monotonic() + _PATIENCE, 0.05
    while True:
        try:
            return client.terminate(instance_id, reason)
        except InstanceFinishedError:
            return None  # what an earlier try left of its tree has been ended before this is raised
        except InstanceNotFoundError:
            if time.monotonic() + pause > deadline:
                return None
        time.sleep(pause)
        pause *= 2


def _check(client: AzureClient, instance_id: str) -> str:
    try:
        status = client.runtime_status(instance_id)
    except InstanceNotFoundError:
        return "free"
    return "free" if status.is_finished else "taken"

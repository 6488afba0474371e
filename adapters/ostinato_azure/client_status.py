"""An instance as the management API tells of it, as clients on every host see it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from ostinato.client import InstanceStatus, RuntimeStatus
from ostinato.codec import decode
from ostinato.events import Parent
from ostinato_azure import envelope
from ostinato_azure.client_history import failure_in


def status_of(found: dict[str, Any]) -> InstanceStatus:
    """Return the status that an answer of the API holds.

    The API leaves out the execution id. What a failed instance failed with is told whole only
    where the history was asked for.
    """
    status = RuntimeStatus(found["runtimeStatus"])
    carried = input_of(found)
    parent = found.get("parentInstanceId")
    failed = status is RuntimeStatus.FAILED
    return InstanceStatus(
        instance_id=found["instanceId"],
        execution_id="",
        name=found["name"],
        version=carried.version or None,
        runtime_status=status,
        created_at=datetime.fromisoformat(found["createdTime"]),
        updated_at=datetime.fromisoformat(found["lastUpdatedTime"]),
        input=decode(carried.text),
        output=None if failed else _output(found.get("output"), status),
        custom_status=found.get("customStatus"),
        failure=failure_in(found) if failed else None,
        tags=carried.tags or {},
        parent=None if not parent else Parent(parent, "", -1),
    )


def input_of(found: dict[str, Any]) -> envelope.Envelope:
    """What an instance was started with."""
    return envelope.read(msgspec.json.encode(found.get("input")).decode())


def _output(value: Any, status: RuntimeStatus) -> Any:
    """An output, out of its envelope where it is in one; a reason is text whatever it says."""
    text = msgspec.json.encode(value).decode()
    if status is RuntimeStatus.TERMINATED:
        return value if isinstance(value, str) else text
    return decode(envelope.read_exact(text).text)

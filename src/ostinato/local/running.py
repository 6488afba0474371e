"""What runs now in this host, as people see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ostinato.codec import decode
from ostinato.local.scheduling import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningActivity:
    """An attempt that runs now in this host."""

    name: str
    task_id: int
    attempt: int
    last_heartbeat: datetime | None
    """When it last reported, in UTC; None when it never has."""
    details: Any
    """What it said then."""

    @classmethod
    def of(cls, work: Work) -> RunningActivity:
        """Describe work of the pool."""
        beat, details = work.last_heartbeat, work.heartbeat_details
        return cls(
            name=work.call.name,
            task_id=work.call.task_id,
            attempt=work.call.attempt,
            last_heartbeat=None if beat is None else datetime.fromtimestamp(beat, UTC),
            details=None if details is None else decode(details),
        )

"""What host.json sets for the Durable extension, as far as the stand-in knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HubOptions:
    """Settings of a task hub; the defaults are those of the Azure Storage backend.

    Attributes:
        maximum_short_timer: A timer due later than this after the orchestration's clock is
            split (``MaximumDelayTime``).
        long_timer_interval: How long each part of a split timer is.
        control_queue_buffer: Most messages that one turn takes (``controlQueueBufferThreshold``:
            32 for Python on a Consumption plan, up to 256 elsewhere).
        poll: How long a turn that could take more messages waits for the next, in real time, while
            activities run. The extension reads its queues by polling and finds together what came
            in the meantime; a turn for each answer as it comes would replay a fan-out nearly as
            often as it has items.
        maximum_actions: Most actions of one answer (``maxOrchestrationActions``).
        maximum_custom_status: Bytes of UTF-16 that a custom status may take.
        default_version: Version of an instance that is started without one.
        connection: Name of the storage connection, which URLs of the management API hold.
    """

    maximum_short_timer: timedelta = timedelta(days=6)
    long_timer_interval: timedelta = timedelta(days=3)
    control_queue_buffer: int = 32
    poll: timedelta = timedelta(milliseconds=2)
    maximum_actions: int = 100_000
    maximum_custom_status: int = 16 * 1024
    default_version: str | None = None
    connection: str = "Storage"

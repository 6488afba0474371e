"""What instances wait for, in words for people, whoever finds it out."""

from __future__ import annotations

from datetime import UTC, datetime

SUSPENDED = "being resumed: it is suspended"


def moment(at: datetime) -> str:
    """A time to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def start(at: datetime) -> str:
    """The start that was put off."""
    return f"its start at {moment(at)}"


def activity(name: str) -> str:
    """The answer of an activity."""
    return f"activity {name!r}"


def child(name: str, instance_id: str) -> str:
    """The end of a child."""
    return f"child {name!r} {instance_id!r}"


def timer(due: datetime) -> str:
    """A durable timer."""
    return f"the timer due at {moment(due)}"

"""Ids: which are valid on every host, and how ids follow from one another."""

from __future__ import annotations

import string
from typing import Any

from ostinato.errors import InvalidInstanceIdError

LONGEST_ID = 100
"""Characters that an instance id may have."""

_ALLOWED = frozenset(string.ascii_letters + string.digits + "-_.:@")
_RULE = (
    f"instance ids are 1 to {LONGEST_ID} ASCII letters, digits, '-', '_', '.', ':' and '@', "
    "not beginning with '@'"
)


def validate_instance_id(instance_id: Any) -> str:
    """Return ``instance_id`` if it is valid on every host.

    Raises:
        InvalidInstanceIdError: It is not; the message names the first fault.
    """
    if isinstance(instance_id, str):
        fault = _fault(instance_id)
        if fault is None:
            return instance_id
    else:
        fault = f"it is {type(instance_id).__name__}, not str"
    shown = repr(instance_id)
    shown = shown if len(shown) <= 2 * LONGEST_ID else f"{shown[:LONGEST_ID]}…"
    raise InvalidInstanceIdError(f"{shown} is no instance id: {fault}; {_RULE}")


def child_id(execution_id: str, task_id: int) -> str:
    """Return the default instance id of the child that an execution starts as a task."""
    return f"{execution_id}:{task_id}"


def idempotency_key(execution_id: str, first_id: int, name: str) -> str:
    """Return what all attempts of one activity call share, and no other call has.

    Args:
        execution_id: The execution that asked.
        first_id: Task id of the call's first attempt.
        name: The activity.
    """
    from urllib.parse import quote  # leaves no ':' in the name, which would be ambiguous

    return f"{execution_id}:{first_id}:{quote(name, safe='')}"


def derived_id(name: str, *parts: str) -> str:
    """Return the valid instance id that follows from a name and parts, the same on every host.

    It begins with the name as far as that is valid, and differs wherever a part differs.
    """
    from hashlib import sha256  # loads OpenSSL

    digest = sha256()
    for part in (name, *parts):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%b" % (len(data), data))  # lengths keep ("ab", "c") from ("a", "bc")
    ending = f"-{digest.hexdigest()}"
    safe = "".join(c if c in _ALLOWED else "-" for c in name[: LONGEST_ID - len(ending)])
    return (safe.lstrip("@") or "id") + ending


def _fault(instance_id: str) -> str | None:
    """What is wrong with the id, or None."""
    if not instance_id:
        return "it is empty"
    if len(instance_id) > LONGEST_ID:
        return f"it has {len(instance_id)} characters"
    if instance_id[0] == "@":
        return "it begins with '@'"
    if _ALLOWED.issuperset(instance_id):
        return None
    index, bad = next((i, c) for i, c in enumerate(instance_id) if c not in _ALLOWED)
    return f"character {index + 1} is {bad!r}"

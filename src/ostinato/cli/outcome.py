"""How a command ends: exit codes, and the error that is its user's to mend."""

from __future__ import annotations

from enum import IntEnum

from ostinato.client import RuntimeStatus


class ExitCode(IntEnum):
    """What the shell is told."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    TERMINATED = 3
    TIMEOUT = 4
    INTERRUPTED = 130

    @classmethod
    def of(cls, status: RuntimeStatus) -> ExitCode:
        """Return the code of a finished instance."""
        match status:
            case RuntimeStatus.COMPLETED:
                return cls.COMPLETED
            case RuntimeStatus.TERMINATED | RuntimeStatus.CANCELED:
                return cls.TERMINATED
            case _:
                return cls.FAILED


class UsageError(Exception):
    """Something that the user can mend; the message says what and how."""


def similar(name: str, known: list[str]) -> str:
    """Return a hint that names what ``name`` may have been meant to be."""
    from difflib import get_close_matches

    if close := get_close_matches(name, known, n=3, cutoff=0.5):
        return "; did you mean " + " or ".join(map(repr, close)) + "?"
    return "; there are " + ", ".join(known) if known else "; there are none"

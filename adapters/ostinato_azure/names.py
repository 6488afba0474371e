"""Names that the adapter keeps for itself, and the names of functions in the app."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Literal

from ostinato.errors import RegistrationError

GATE = "ostinato-gate"
"""The activity that does nothing: waited for, it brings the extension's clock forward."""

CLIENT = "ostinato-client"
"""The activity with the durable client, for what an orchestration cannot do by itself."""

Durable = Literal["activity", "orchestration"]
DURABLE: tuple[Durable, ...] = ("activity", "orchestration")
"""What has a name of its own beside that of its function."""

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 127


def function_name(wanted: str, taken: Container[str]) -> str:
    """Return a name that Azure allows and no other function of the app has.

    ``taken`` are the names of the others, in lower case.

    Azure's rule: a letter, then letters, digits, ``-`` and ``_``, 127 at most, unique whatever
    the case (learn.microsoft.com, naming rules of Microsoft.Web sites/functions).
    """
    name = _FORBIDDEN.sub("_", wanted).strip("_-")[:_LONGEST] or "function"
    if not name[0].isalpha():
        name = f"f_{name}"[:_LONGEST]
    chosen, count = name, 1
    while chosen.lower() in taken:
        count += 1
        ending = f"_{count}"
        chosen = name[: _LONGEST - len(ending)] + ending
    return chosen


class Names:
    """The application's names in a function app; the Functions host ignores their case."""

    def __init__(self) -> None:
        self._ours: dict[str, dict[str, str]] = {"function": {}}
        self._ours.update((kind, {}) for kind in DURABLE)

    def choose(self, wanted: str) -> str:
        """Return the name of a new function; see `function_name`."""
        ours = self._ours["function"]
        chosen = function_name(wanted, ours)
        ours[chosen.lower()] = chosen
        return chosen

    def keep(self, kind: Durable, name: str) -> None:
        """Keep the name of an activity or orchestration.

        Raises:
            RegistrationError: Another has it.
        """
        ours = self._ours[kind]
        other = ours.get(name.lower())
        if other in (GATE, CLIENT):
            raise RegistrationError(
                f"{kind} {name!r} has a name that the adapter keeps for itself: give it name=..."
            )
        if other is not None:
            raise RegistrationError(
                f"{kind} {other!r} and {kind} {name!r} are one to the Functions host, which "
                "ignores case: give one of them name=..."
            )
        ours[name.lower()] = name

    def refuse(self, kind: Durable | Literal["function"], name: str) -> None:
        """Refuse a name of the function app's own functions that is one of the application's.

        Raises:
            RegistrationError: It is.
        """
        ours = self._ours[kind].get(name.lower())
        if ours is None:
            return
        mend = "rename one of them"
        if ours in (GATE, CLIENT):
            mend = "rename the former"
        elif kind != "function":
            mend += f", or have app.foreign_{kind}({name!r}) in place of the latter"
        raise RegistrationError(
            f"{kind} {name!r} of the function app and {kind} {ours!r} of the application are one "
            f"to the Functions host, which ignores case: {mend}"
        )

"""Names that the adapter keeps for itself, and the names of functions in the app."""

from __future__ import annotations

import re
from collections.abc import Iterable

GATE = "ostinato-gate"
"""The activity that does nothing: waited for, it brings the extension's clock forward."""

CLIENT = "ostinato-client"
"""The activity with the durable client, for what an orchestration cannot do by itself."""

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 127


def function_name(wanted: str, taken: Iterable[str]) -> str:
    """Return a name that Azure allows and no other function of the app has.

    Azure's rule: a letter, then letters, digits, ``-`` and ``_``, 127 at most, unique whatever
    the case (learn.microsoft.com, naming rules of Microsoft.Web sites/functions).
    """
    name = _FORBIDDEN.sub("_", wanted).strip("_-")[:_LONGEST] or "function"
    if not name[0].isalpha():
        name = f"f_{name}"[:_LONGEST]
    used = {other.lower() for other in taken}
    chosen, count = name, 1
    while chosen.lower() in used:
        count += 1
        ending = f"_{count}"
        chosen = name[: _LONGEST - len(ending)] + ending
    return chosen

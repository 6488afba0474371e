"""The envelope: how an input or event carries more than its data through Azure.

Data that needs nothing beside it is plain JSON. What must carry more is an object with the key
``$ostinato``; so is data that has that key itself, and data of which text and JSON could not be
told apart where it goes. Whatever has no such key is plain data, whoever sent it.

The extension and its SDK write a payload as JSON in a JSON string, webhooks write it once. So
text of either kind is read alike: a string is parsed once more if it begins like an object, an
array or a string and is JSON.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from ostinato.events import Json

VERSION = 1

NO_STATUS = msgspec.Raw(b"")
"""In an envelope: no custom status."""


class CarriedEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An external event that the generation before left unread."""

    name: str
    data: msgspec.Raw
    event_id: str | None = None


class Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which attempt of an activity this is; fields as in `ostinato.activities.ActivityCall`."""

    instance_id: str
    execution_id: str
    task_id: int
    first_id: int
    attempt: int = 1
    timeout: float | None = None


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A payload and what it carries. ``data`` is JSON."""

    ostinato: int = msgspec.field(default=0, name="$ostinato")
    data: msgspec.Raw = msgspec.Raw(b"null")
    version: str | None = None
    tags: dict[str, str] | None = None
    start_at: datetime | None = None
    event_id: str | None = None
    events: tuple[CarriedEvent, ...] = ()
    event_ids: tuple[str, ...] = ()
    status: msgspec.Raw = NO_STATUS
    """The custom status of the generation before; empty where there was none."""
    call: Call | None = None

    @property
    def text(self) -> Json:
        """The data as JSON text."""
        return bytes(self.data).decode()


_read = msgspec.json.Decoder(Envelope).decode
_KEY = '"$ostinato"'
_PLAIN = Envelope(ostinato=VERSION)
_STRUCTURED = ("{", "[", '"')


def plain(text: Json) -> Envelope:
    """An envelope that carries nothing but data."""
    return Envelope(ostinato=VERSION, data=msgspec.Raw(text.encode()))


def written(envelope: Envelope, *, once: bool = False) -> Json:
    """Return the JSON text of a payload: the data itself where that is enough.

    Args:
        envelope: What to write.
        once: Whether one wire hands it on as it is, and another in a JSON string: no `doubled`
            tells `read` that text is text, or that a bare number is none.
    """
    text = envelope.text
    alone = msgspec.structs.replace(envelope, data=_PLAIN.data) == _PLAIN
    if alone and _KEY not in text and not (once and _is_ambiguous(text)):
        return text
    return msgspec.json.encode(envelope).decode()


def is_written(text: Json) -> bool:
    """Whether `written` made an envelope of what became this text."""
    return text.startswith("{" + _KEY)


def doubled(text: Json) -> Json:
    """Return JSON text as a JSON string, so that nothing on its way rewrites it.

    Numbers, true, false and null stay as they are: as strings they would be read as text.
    """
    return msgspec.json.encode(text).decode() if text.startswith(_STRUCTURED) else text


def _is_ambiguous(text: Json) -> bool:
    """Whether `read` would take data for something else, alone or in a JSON string."""
    return not text.startswith(_STRUCTURED) or (text.startswith('"') and _data(text) != text)


def read(text: str | None) -> Envelope:
    """Return what a payload's text carries, from whomever it came."""
    return read_exact(_data(text))


def read_exact(text: Json | None) -> Envelope:
    """Return what JSON text carries that was written once: a string in it stays a string."""
    found = "null" if text is None else text
    if _KEY in found and found.startswith("{"):
        try:
            envelope = _read(found)
        except (msgspec.MsgspecError, RecursionError):
            return plain(found)
        if envelope.ostinato == VERSION:
            return envelope
    return plain(found)


def _data(text: str | None) -> Json:
    """JSON text of what was sent, as it is where it is nested too deeply to be read."""
    if text is None or not text.strip():
        return "null"
    try:
        outer: Any = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return msgspec.json.encode(text).decode()  # no JSON at all: the text is the data
    except RecursionError:
        return text
    if isinstance(outer, str) and outer.startswith(_STRUCTURED) and _is_json(outer):
        return outer
    return text


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return False
    except RecursionError:
        return True  # to be refused with the data of its kind that came by itself
    return True

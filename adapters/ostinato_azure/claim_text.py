"""Claims: a large payload is kept elsewhere, and in its place goes what it is claimed with.

A claim is an object with the payload's SHA-256 and its size. It may stand anywhere in JSON text,
in JSON within a string of it too, to any depth: what it is claimed for is put there with as many
escapes. A claim holds nothing that needs escaping but its quotes, so it is found by how many
backslashes stand before each of those.

Text of the user's that has the key of a claim goes elsewhere too, however small, so that every
claim found is one that was made here.
"""

from __future__ import annotations

import hashlib
import re
from typing import Protocol

import msgspec

from ostinato.errors import OstinatoError
from ostinato.events import Json

_KEY = "$ostinato_claim"

_CLAIM = re.compile(
    r'\{(\\*)"\$ostinato_claim\1": ?1, ?\1"sha256\1": ?\1"([0-9a-f]{64})\1", ?\1"size\1": ?(\d+)\}'
)


class ClaimError(OstinatoError):
    """A large payload cannot be stored or read; the message names where it is looked for.

    Args:
        message: Why.
        is_gone: Whether there is no such payload, and trying again will find none.
    """

    def __init__(self, message: str, *, is_gone: bool = False) -> None:
        super().__init__(message)
        self.is_gone = is_gone


class Claims(Protocol):
    """Keeps large texts under their hash; safe to use from any thread."""

    @property
    def threshold(self) -> int:
        """Bytes of UTF-8 beyond which a text is kept here."""
        ...

    def put(self, sha256: str, text: str) -> None:
        """Keep a text; it may be there already.

        Raises:
            ClaimError: It cannot be kept.
        """
        ...

    def get(self, sha256: str) -> str:
        """Return what was put under a hash.

        Raises:
            ClaimError: It is not there, cannot be read, or is something else.
        """
        ...


def hash_of(text: str) -> str:
    """The SHA-256 of a text as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def may_be_claimed(text: str | bytes) -> bool:
    """Whether it is worth looking for claims in a text, or in what holds texts as they are."""
    return _KEY in text if isinstance(text, str) else _KEY.encode() in text


def may_be_too_large(data: bytes, claims: Claims) -> bool:
    """Whether it is worth looking for values to claim in what holds them as they are."""
    return len(data) > claims.threshold or may_be_claimed(data)


def is_claimed(text: str) -> bool:
    """Whether something in a text is claimed."""
    return _KEY in text and _CLAIM.search(text) is not None


def is_claim(text: Json) -> bool:
    """Whether JSON text is a claim and nothing else, or a string with one."""
    return _CLAIM.fullmatch(text.strip('"')) is not None


def claim_value(text: Json, claims: Claims) -> Json:
    """Return a JSON value, or a claim for it where it is too large to be sent as it is.

    Raises:
        ClaimError: It cannot be kept.
    """
    size = len(text.encode())
    if size <= claims.threshold and _KEY not in text:
        return text
    found = hash_of(text)
    claims.put(found, text)
    return f'{{"{_KEY}":1,"sha256":"{found}","size":{size}}}'


def unclaim_text(text: str, claims: Claims, *, keeps_lost: bool = False) -> str:
    """Return JSON text with what is claimed in it in its place.

    What is put in is not looked through again.

    Args:
        text: The text.
        claims: Has what is claimed.
        keeps_lost: Whether claims for what is gone are left as they are.

    Raises:
        ClaimError: Something claimed cannot be had.
    """

    def claimed(found: re.Match[str]) -> str:
        try:
            return _escaped(claims.get(found[2]), found[1])
        except ClaimError as error:
            if keeps_lost and error.is_gone:
                return found[0]
            raise

    return _CLAIM.sub(claimed, text) if _KEY in text else text


def _escaped(text: str, backslashes: str) -> str:
    """Text as it stands in a JSON string within a JSON string and so on: n deep, 2**n - 1 of them
    stand before a quote."""
    for _ in range(len(backslashes).bit_length()):
        text = msgspec.json.encode(text).decode()[1:-1]
    return text

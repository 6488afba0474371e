"""Codec: values as JSON text, and back by annotation.

JSON has no NaN and no infinity, and msgspec writes them as null; here they are errors, as is
whatever else would not come back as it went in. Errors name the payload and the place in it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from math import isfinite
from types import UnionType
from typing import Any, ForwardRef, Literal, TypeAlias, Union, get_args, get_origin

import msgspec

from ostinato.errors import CodecError, PayloadTooLargeError

Label: TypeAlias = str | Callable[[], str]
"""What error messages call a payload, or a function that says so when it is needed."""


def encode(value: Any, what: Label, limit: int | None = None) -> str:
    """Return ``value`` as JSON text.

    Args:
        value: Anything that msgspec can write, and pydantic models.
        what: Names the payload in errors, e.g. ``input of activity 'ingest_file'``.
        limit: Bytes of UTF-8 that the text may have.

    Raises:
        CodecError: The value, or something in it, cannot be written as JSON.
        PayloadTooLargeError: The text is longer than ``limit``.
    """
    try:
        data = _to_json(value)
    except Exception:
        raise CodecError(f"{_said(what)} {_objection(value)}") from None
    if b"null" in data and value is not None:
        _refuse_nan(value, what)
    if limit is not None and len(data) > limit:
        raise PayloadTooLargeError(
            f"{_said(what)} is {len(data):,} bytes of JSON, over the limit of {limit:,}; "
            "store the data elsewhere (a file, a blob, a database) and pass a reference to it"
        )
    return data.decode()


def decode(text: str, type: Any = Any, what: Label = "") -> Any:
    """Return the value that JSON text stands for, converted to an annotation.

    Numbers and text are not converted into one another. A string or an unresolved forward
    reference in place of a type is no annotation.

    Args:
        text: JSON.
        type: Any type that msgspec can read, pydantic models, and unions of JSON's own types.
        what: Names the payload in errors.

    Raises:
        CodecError: The text is no JSON, or does not fit the annotation.
    """
    try:
        return _from_json(text) if type is Any else _decoder(type)(text)
    except Exception as error:
        raise CodecError(_misfit(type, what, error)) from error


def is_type(annotation: Any) -> bool:
    """Whether it is a type, of which `decode` makes what it can; a name in place of one is not."""
    if isinstance(annotation, type) or get_origin(annotation) is not None:
        return True  # whether it can be read is for `decode` to say, and why not
    try:
        _decoder(annotation)
    except TypeError:
        return False
    return not isinstance(annotation, str)


def _lowered(value: Any) -> Any:
    """What msgspec does not write by itself, in terms that it does."""
    for kind, exact in _EXACT:
        if isinstance(value, kind):
            return exact(value)
    if _is_model(_kind(value)):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    raise NotImplementedError


_EXACT: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
"""How subclasses of JSON's scalars give their plain value, whatever they override."""


def _raised(annotation: Any, value: Any) -> Any:
    """JSON's ``value`` as a type that msgspec does not read by itself."""
    cls: Any = get_origin(annotation) or annotation
    kind = _kind(value)
    if _is_model(cls):
        return annotation.model_validate_json(msgspec.json.encode(value))
    if issubclass(kind, cls):
        return value
    if issubclass(cls, kind) and kind in _PLAIN:
        return cls(value)
    raise TypeError(f"Expected `{_named(annotation)}`, got `{_named(kind)}`")


def _kind(value: object) -> Any:
    return type(value)


def _is_model(cls: type) -> bool:
    """Whether ``cls`` is a pydantic model; where pydantic was never imported, nothing is."""
    pydantic: Any = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(cls, pydantic.BaseModel)


_to_json = msgspec.json.Encoder(enc_hook=_lowered).encode
_to_msgpack = msgspec.msgpack.Encoder(enc_hook=_lowered).encode
_from_json = msgspec.json.Decoder().decode


def _decoder(annotation: Any) -> Callable[[str], Any]:
    try:
        return _known_decoder(annotation)
    except TypeError:  # unhashable metadata in Annotated; or msgspec's refusal, which recurs
        return _build_decoder(annotation)


def _build_decoder(annotation: Any) -> Callable[[str], Any]:
    try:
        return msgspec.json.Decoder(annotation, dec_hook=_raised).decode
    except TypeError:
        if _is_unresolved(annotation):
            return _from_json
        plain = tuple(member for member in _members(annotation) if member in _PLAIN)
        if not plain:
            raise
        return msgspec.json.Decoder(Union[plain]).decode  # noqa: UP007  # members vary


_known_decoder = lru_cache(maxsize=4096)(_build_decoder)

_PLAIN = (str, int, float, bool, dict, list, type(None))
"""What a value may be in a union of which msgspec cannot tell the other members apart."""


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()


def _is_unresolved(annotation: Any) -> bool:
    """Whether there is a name in ``annotation`` that nothing told the class of."""
    if isinstance(annotation, str | ForwardRef):
        return True
    return get_origin(annotation) is not Literal and any(
        _is_unresolved(part) for part in get_args(annotation)
    )


def _refuse_nan(value: Any, what: Label) -> None:
    """Raise CodecError where a number in ``value`` is not finite."""
    try:
        packed = _to_msgpack(value)  # which keeps it
    except Exception:  # an integer that only JSON can hold
        packed = b""
    if packed and _NOT_FINITE.search(packed) is None:
        return
    for path, part in _walk(value):
        if isinstance(part, float) and not isfinite(part):
            raise CodecError(
                f"{_said(what)} cannot be written as JSON: {path} is {part}, which JSON does not "
                "have; pass None, or text, in its place"
            )


_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""A MessagePack double of the largest exponent; bytes and integers may look like one."""


def _objection(value: Any) -> str:
    """Why ``value`` cannot be written as JSON: the innermost part that cannot."""
    path, above = "$", {id(value)}
    while True:
        found = next((found for found in _parts(value) if _error_of(found[1]) is not None), None)
        if found is None:
            return _complaint(value, path)
        path, value = path + found[0], found[1]
        if id(value) in above:
            return f"cannot be written as JSON: {_short(path)} refers back to what it is part of"
        if len(above) > _DEEPEST:
            return f"is nested too deeply to be written as JSON, at {_short(path)}"
        above.add(id(value))


def _complaint(value: Any, path: str) -> str:
    error, kind, path = _error_of(value), _kind(value), _short(path)
    if isinstance(error, RecursionError):
        return f"is nested too deeply to be written as JSON, at {path}"
    if isinstance(error, UnicodeEncodeError):
        place = f"a key of {path}" if issubclass(kind, dict) else f"the text at {path}"
        return (
            f"cannot be written as JSON: {place} has the lone surrogate "
            f"{error.object[error.start]!r}, as undecodable file names do; pass bytes "
            "(os.fsencode), or text without it"
        )
    if issubclass(kind, dict):
        key = next((key for key in value if _error_of({key: None}) is not None), None)
        return (
            f"cannot be written as JSON: {path} has the key {key!r} of type "
            f"{_named(_kind(key))}; keys must be text or numbers"
        )
    if error is not None and not isinstance(error, NotImplementedError):
        return f"cannot be written as JSON: {path}, of type {_named(kind)}: {error}"
    mend = next((mend for name, mend in _MENDS.items() if hasattr(value, name)), _MEND)
    return f"cannot be written as JSON: {path} is of type {_named(kind)}; {mend}"


_MEND = "pass a dict, a list, a dataclass or another type of plain data"
_MENDS = {
    "is_faulted": "yield the task first, and pass its result",
    "__await__": "await it first, and pass its result",
    "__fspath__": "pass str() of it",
    "__next__": "make a list of it",
    "__array__": "pass .tolist() of it",
}
"""What to do instead, by an attribute that tells the kind of object."""

_DEEPEST = 1_000
_LONGEST_PATH = 500


def _error_of(value: Any) -> Exception | None:
    try:
        _to_json(value)
    except Exception as error:
        return error
    return None


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """All parts of ``value`` in order, itself first, each with its path."""
    pending = [("$", value)]
    while pending:
        path, part = pending.pop()
        yield path, part
        pending.extend((path + step, child) for step, child in reversed([*_parts(part)]))


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What ``value`` directly consists of, each with its step in a path."""
    kind = _kind(value)
    if issubclass(kind, dict):
        for key, part in value.items():
            yield f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]", part
    elif issubclass(kind, list | tuple | set | frozenset):
        for index, part in enumerate(value):
            yield f"[{index}]", part
    else:
        for name in _fields(kind):
            if hasattr(value, name):
                yield f".{name}", getattr(value, name)


def _fields(cls: Any) -> Iterable[str]:
    """Field names of a struct, dataclass, attrs class or pydantic model; else none."""
    if issubclass(cls, msgspec.Struct):
        return tuple(cls.__struct_fields__)
    if _is_model(cls):
        return tuple(cls.model_fields)
    if hasattr(cls, "__attrs_attrs__"):
        return tuple(field.name for field in cls.__attrs_attrs__)
    return tuple(getattr(cls, "__dataclass_fields__", ()))


def _misfit(annotation: Any, what: Label, error: Exception) -> str:
    """Why JSON text did not become ``annotation``."""
    label = _said(what)
    if isinstance(error, RecursionError):
        return f"{label} is nested too deeply to be read as JSON"
    if isinstance(error, msgspec.ValidationError):
        reason, _, place = str(error).partition(" - at `$")
        details = getattr(error.__cause__, "errors", None)
        path = "$" + place.rstrip("`")
        if details is not None:  # pydantic's, of which there may be many
            first = details()[0]
            reason = first["msg"]
            path += "".join(f".{p}" if isinstance(p, str) else f"[{p}]" for p in first["loc"])
        return f"{label} does not fit {_named(annotation)}: {reason} at {path}"
    if isinstance(error, msgspec.DecodeError | UnicodeEncodeError):
        return f"{label} is no valid JSON: {error}"
    return f"{label} cannot be read as {_named(annotation)}: {error}"


def _said(what: Label) -> str:
    return (what if isinstance(what, str) else what()) or "the value"


def _named(annotation: Any) -> str:
    is_class = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__qualname__ if is_class else str(annotation).replace("typing.", "")


def _short(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH else f"{path[:60]}…{path[-20:]}"

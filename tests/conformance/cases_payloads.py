"""Payloads: what crosses the codec, and what does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import attrs
import pydantic

import ostinato as ost

from .app import app, case, echo, greet
from .model import Cases, Flow, completes, fails


class Colour(Enum):
    RED = "red"


@dataclass
class Item:
    name: str
    price: Decimal
    tags: tuple[str, ...] = ()


@attrs.define
class Box:
    item: Item
    weight: float


class Label(TypedDict):
    text: str
    colour: Colour


class Place(NamedTuple):
    row: int
    seat: int


class Model(pydantic.BaseModel):
    name: str
    at: datetime


@app.activity
def reprice(item: Item) -> Item:
    assert [type(item), type(item.price)] == [Item, Decimal]
    return Item(item.name, item.price * 2, (*item.tags, "repriced"))


@app.activity
def weigh(box: Box) -> Box:
    assert [type(box), type(box.item)] == [Box, Item]
    return Box(box.item, box.weight + 1)


@app.activity
def paint(label: Label) -> Label:
    assert label["colour"] is Colour.RED
    return label


@app.activity
def move(place: Place) -> Place:
    return Place(place.row + 1, place.seat)


@app.activity
def postpone(model: Model) -> Model:
    assert isinstance(model, Model)
    return Model(name=model.name, at=model.at + timedelta(days=1))


@app.activity
def tomorrow(at: datetime) -> datetime:
    return at + timedelta(days=1)


@app.activity
def day_after(day: date) -> date:
    return day + timedelta(days=1)


@app.activity
def same_uuid(value: UUID) -> UUID:
    assert isinstance(value, UUID)
    return value


@app.activity
def reverse(data: bytes) -> bytes:
    return data[::-1]


@app.activity
def distinct(values: list[str]) -> set[str]:
    return set(values)


@app.activity
def maybe(value: int | None) -> list[Item] | None:
    return None if value is None else [Item("x", Decimal(value))]


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
UUID_1 = UUID(int=1)

ROUND_TRIPS: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "dataclass with a Decimal": (
        reprice,
        Item("tea", Decimal("1.10")),
        Item("tea", Decimal("2.20"), ("repriced",)),
    ),
    "attrs class with a dataclass": (
        weigh,
        Box(Item("a", Decimal(1)), 0.5),
        Box(Item("a", Decimal(1)), 1.5),
    ),
    "TypedDict with an enum": (
        paint,
        Label(text="a", colour=Colour.RED),
        Label(text="a", colour=Colour.RED),
    ),
    "NamedTuple": (move, Place(1, 2), Place(2, 2)),
    "pydantic model": (
        postpone,
        Model(name="a", at=NOON),
        Model(name="a", at=NOON + timedelta(days=1)),
    ),
    "datetime": (tomorrow, NOON, NOON + timedelta(days=1)),
    "date": (day_after, date(2030, 1, 1), date(2030, 1, 2)),
    "UUID": (same_uuid, UUID_1, UUID_1),
    "bytes": (reverse, b"\x00\xff", b"\xff\x00"),
    "set": (distinct, ["a", "b", "a"], {"a", "b"}),
    "optional that is None": (maybe, None, None),
    "optional that is a list of dataclasses": (maybe, 1, [Item("x", Decimal(1))]),
}


@app.orchestration
def round_trip(ctx: ost.OrchestrationContext, kind: str) -> Flow:
    activity, given, expected = ROUND_TRIPS[kind]
    found = yield ctx.call_activity(activity, given)
    by_name = yield ctx.call_activity(activity.__name__, given)
    return [found == expected, type(found) is type(expected), by_name == expected]


for kind in ROUND_TRIPS:
    case.add(f"annotations decode a {kind}", round_trip, completes([True] * 3), input=kind)


PLAIN: dict[str, Any] = {
    "null": None,
    "booleans": [True, False],
    "numbers": [0, -1, 2**53, 1.5, 1e300],
    "text": 'quotes " backslash \\ newline \n tab \t',
    "Unicode": "\N{SNOWMAN} \N{MUSICAL SYMBOL G CLEF} é",
    "text that looks like JSON": '{"a": 1}',
    "text that looks like a number": "1",
    "nothing": "",
    "nested values": {"a": [{"b": {"c": []}}], "": {}},
    "keys that mean something to others": {"__class__": "x", "$type": "y", "$ostinato": 1},
    "a hundred thousand characters": "x" * 100_000,
}


@app.orchestration
def plain(ctx: ost.OrchestrationContext, value: Any) -> Flow:
    return [(yield ctx.call_activity(echo, value)), ctx.get_input()]


for what, value in PLAIN.items():
    case.add(f"{what} goes through unchanged", plain, completes([value, value]), input=value)


AMBIGUOUS: dict[str, Any] = {
    "text that looks like an object": '{"a":1}',
    "text that looks like a list": "[1,2]",
    "text that looks like text": '"q"',
    "text that begins like an object": "{",
    "text that is a number": "1",
    "a number": 1,
    "null": None,
    "an object with the key of an envelope": {"$ostinato": 1},
    "an object like an envelope": {"$ostinato": 1, "data": 5},
    "text like an envelope": '{"$ostinato":1,"data":5}',
}


@app.orchestration
def taken_over(ctx: ost.OrchestrationContext, value: Any) -> Flow:
    if ctx.custom_status is None:
        ctx.set_custom_status("the next generation")
        ctx.continue_as_new(value)
        return None
    ctx.set_custom_status(None)
    return (yield ctx.call_activity(echo, value))


@app.orchestration
def handed_down(ctx: ost.OrchestrationContext, value: Any) -> Flow:
    return [(yield ctx.call_sub_orchestrator(taken_over, value))]


for what, value in AMBIGUOUS.items():
    case.add(
        f"{what} goes to a child, its next generation and back unchanged",
        handed_down,
        completes([value]),
        input=value,
    )
    case.add(f"{what} is an instance's output as it is", taken_over, completes(value), input=value)


@case(
    "without an annotation values arrive as JSON has them",
    completes([[1, 2], {"1": "a"}, "2030-01-01T12:00:00Z"]),
)
@app.orchestration
def as_json(ctx: ost.OrchestrationContext) -> Flow:
    pair = yield ctx.call_activity(echo, (1, 2))
    keyed = yield ctx.call_activity(echo, {1: "a"})
    instant = yield ctx.call_activity(echo, NOON)
    return [pair, keyed, instant]


@case("a result is decoded as the type expected of the call", completes(["tea", True]))
@app.orchestration
def expected_type(ctx: ost.OrchestrationContext) -> Flow:
    item = yield ctx.call_activity("echo", {"name": "tea", "price": "1.10"}, Item)
    return [item.name, isinstance(item.price, Decimal)]


@app.orchestration
def item_child(ctx: ost.OrchestrationContext, item: Item) -> Generator[Any, Any, Item]:
    return (yield from ctx.call_activity(reprice, item))


@case(
    "a child's input and output are decoded by their annotations",
    completes({"name": "a", "price": "2", "tags": ["repriced"]}),
)
@app.orchestration
def typed_children(ctx: ost.OrchestrationContext) -> Flow:
    item = yield ctx.call_sub_orchestrator(item_child, Item("a", Decimal(1)))
    assert isinstance(item, Item)
    return item


# Refusals


class Opaque:
    """No JSON can be made of it."""


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


UNFIT: dict[str, tuple[Callable[[], Any], str]] = {
    "a NaN": (lambda: {"rows": [1.0, float("nan")]}, r"\$\.rows\[1\]"),
    "infinity": (lambda: [float("-inf")], r"\$\[0\]"),
    "an object": (Opaque, "Opaque"),
    "an object inside": (lambda: {"a": [Opaque()]}, "Opaque"),
    "a circular structure": (circular, ""),
    "a lone surrogate": (lambda: "\ud800", ""),
}


@app.orchestration
def unfit_input(ctx: ost.OrchestrationContext, what: str) -> Flow:
    make, pattern = UNFIT[what]
    try:
        ctx.call_activity(echo, make())
    except ValueError as error:
        assert isinstance(error, ost.CodecError)
        named = "echo" in str(error) and re.search(pattern, str(error)) is not None
        return [named, (yield ctx.call_activity(greet))]


@app.activity
def make_unfit(what: str) -> Any:
    return UNFIT[what][0]()


@app.orchestration
def unfit_result(ctx: ost.OrchestrationContext, what: str) -> Flow:
    yield ctx.call_activity(make_unfit, what)


for what, (_, pattern) in UNFIT.items():
    expected = completes([True, "hello"], scheduled=("0 greet",))
    case.add(
        f"{what} in an input is an error at the call, and asks for nothing",
        unfit_input,
        expected,
        input=what,
    )
    expected = fails("CodecError", re.compile(pattern))
    case.add(
        f"{what} in an activity's result fails the activity", unfit_result, expected, input=what
    )


@case(
    "an unserialisable input that is not caught fails the instance and names the call",
    fails("CodecError", re.compile("echo")),
)
@app.orchestration
def unfit_uncaught(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(echo, object())


@case(
    "an input that does not fit the activity's annotation fails the activity and says where",
    fails("CodecError", re.compile(r"reprice.*price|price.*reprice", re.DOTALL)),
)
@app.orchestration
def wrong_input(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity("reprice", {"name": "tea", "price": []})


# The limit, in an application of its own

small = ost.App("small", payload_limit=1000)
small_case = Cases(small)


@small.activity
def repeat(times: int) -> str:
    return "x" * times


@small.activity
def length(text: str) -> int:
    return len(text)


@small_case("a call's input at the limit is taken", completes(998), input=998)
@small_case(
    "a call's input over the limit is an error at the call",
    completes("refused", scheduled=()),
    input=999,
)
@small.orchestration
def limited_input(ctx: ost.OrchestrationContext, size: int) -> Flow:
    try:
        return (yield ctx.call_activity(length, "x" * size))
    except ost.PayloadTooLargeError:
        return "refused"


@small_case("an activity's result at the limit is taken", completes(998), input=998)
@small_case(
    "an activity's result over the limit fails the activity",
    fails("PayloadTooLargeError", re.compile("1,?000")),
    input=999,
)
@small.orchestration
def limited_result(ctx: ost.OrchestrationContext, size: int) -> Flow:
    return len((yield ctx.call_activity(repeat, size)))


@small_case(
    "a child's input over the limit is an error at the call", completes("refused", scheduled=())
)
@small.orchestration
def limited_child(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_sub_orchestrator(limited_input, "x" * 1000)
    except ost.PayloadTooLargeError:
        return "refused"

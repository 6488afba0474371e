from __future__ import annotations

import collections
import enum
import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Literal, NamedTuple, Self, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.codec import decode, encode
from ostinato.errors import CodecError, PayloadTooLargeError

WHAT = "input of activity 'ingest_file'"


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int
    y: int


class Options(TypedDict, total=False):
    depth: int


class Tag(msgspec.Struct, frozen=True):
    name: str


@attrs.frozen
class Size:
    width: float


class Row(pydantic.BaseModel):
    score: float
    day: date | None = None


class Strict(pydantic.BaseModel, strict=True):
    day: date
    ids: set[int]


class Aliased(pydantic.BaseModel):
    from_: str = pydantic.Field(alias="from")

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def loud(self) -> str:
        return self.from_.upper()

    model_config = pydantic.ConfigDict(extra="forbid")


@dataclass
class Order:
    id: UUID
    at: datetime
    total: Decimal
    color: Color
    point: Point
    options: Options
    tag: Tag
    size: Size
    rows: list[Row]
    raw: bytes = b""
    day: date = date(2024, 2, 29)
    hour: time = time(12, 30)
    took: timedelta = timedelta(seconds=1.5)
    level: Level = Level.LOW
    seen: frozenset[str] = frozenset()
    by_id: dict[int, str] = field(default_factory=dict[int, str])
    kind: Literal["new", "old"] = "new"


class Positive:
    def __init__(self, value: float) -> None:
        self.value = value


class Email(str):
    def __str__(self) -> str:
        return "hidden"


class Ratio(float):
    pass


class Count(int):
    pass


ORDER = Order(
    id=UUID(int=7),
    at=datetime(2024, 2, 29, 12, tzinfo=UTC),
    total=Decimal("10.10"),
    color=Color.BLUE,
    point=Point(1, 2),
    options={"depth": 3},
    tag=Tag("t"),
    size=Size(1.5),
    rows=[Row(score=0.5, day=date(2024, 1, 1)), Row(score=1)],
    raw=b"\x00\xff",
    seen=frozenset({"a"}),
    by_id={1: "one"},
)


def refusal(value: Any) -> str:
    with pytest.raises(CodecError) as info:
        encode(value, WHAT)
    return str(info.value)


def misfit(text: str, annotation: Any) -> str:
    with pytest.raises(CodecError) as info:
        decode(text, annotation, WHAT)
    return str(info.value)


# Round trips

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(PLAIN)
def test_plain_data_comes_back_as_it_went(value: Any):
    text = encode(value, WHAT)
    assert decode(text) == value
    assert json.loads(text) == value


ORDERS = st.builds(
    Order,
    id=st.uuids(),
    at=st.datetimes(timezones=st.just(UTC)),
    total=st.decimals(allow_nan=False, allow_infinity=False),
    color=st.sampled_from(Color),
    point=st.builds(Point, st.integers(), st.integers()),
    options=st.fixed_dictionaries({}, optional={"depth": st.integers()}),
    tag=st.builds(Tag, st.text()),
    size=st.builds(Size, st.floats(allow_nan=False, allow_infinity=False)),
    rows=st.lists(
        st.builds(
            Row, score=st.floats(allow_nan=False, allow_infinity=False), day=st.none() | st.dates()
        )
    ),
    raw=st.binary(),
    day=st.dates(),
    hour=st.times(),
    took=st.timedeltas(timedelta(days=-9999), timedelta(days=9999)),
    level=st.sampled_from(Level),
    seen=st.frozensets(st.text()),
    by_id=st.dictionaries(st.integers(-(2**63), 2**63), st.text()),
    kind=st.sampled_from(["new", "old"]),
)


@given(ORDERS)
def test_typed_data_comes_back_by_its_annotation(order: Order):
    assert decode(encode(order, WHAT), Order, WHAT) == order


@given(st.lists(st.floats() | st.none()))
def test_a_number_that_is_not_finite_never_becomes_null(numbers: list[float | None]):
    try:
        text = encode(numbers, WHAT)
    except CodecError as error:
        assert "which JSON does not have" in str(error)
    else:
        assert decode(text) == numbers


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (None, None),
        ({1, 2}, set[int]),
        (ORDER, Order),
        ([ORDER], list[Order]),
        (Row(score=1), Row),
        (Row(score=1), Row | None),
        (None, Row | None),
        (Strict(day=date(2024, 1, 1), ids={1}), Strict),
        (Aliased(**{"from": "me"}), Aliased),
        (Email("a@b"), Email),
        (Ratio(0.5), Ratio),
        (Count(5), Count),
        (collections.Counter("aab"), collections.Counter[str]),
        ((1, "a"), tuple[int, str]),
        (2**70, int),
        (3, Annotated[int, ["unhashable"]]),
        ("x", object),
        ("x", str | Path),
        ({"a": 1}, dict | Row),
    ],
    ids=str,
)
def test_values_come_back_by_annotations_of_every_kind(value: Any, annotation: Any):
    back = decode(encode(value, WHAT), annotation, WHAT)
    assert back == value
    assert type(back) is type(value)


def test_a_string_subclass_is_written_as_what_it_holds():
    assert encode([Email("a@b"), Ratio(2), Count(3)], WHAT) == '["a@b",2.0,3]'


@pytest.mark.parametrize(
    "annotation", ["Order", ForwardRef("Order"), list["Order"], ForwardRef("Order") | None]
)
def test_an_annotation_that_nobody_resolved_is_none(annotation: Any):
    assert decode('[{"a":1}]', annotation) == [{"a": 1}]


def test_a_literal_of_text_is_an_annotation():
    assert "does not fit Literal['a', 'b']" in misfit('"c"', Literal["a", "b"])


def test_without_pydantic_nothing_imports_it():
    code = (
        "import sys; from ostinato.codec import *\n"
        "from ostinato.errors import CodecError\n"
        "class Foreign: pass\n"
        "try: encode(Foreign(), 'it')\n"
        "except CodecError: pass\n"
        "try: decode('1', Foreign)\n"
        "except CodecError: pass\n"
        "sys.exit('pydantic' in sys.modules)"
    )
    source = str(Path(__file__).parents[1] / "src")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r})\n{code}"]
    )
    assert done.returncode == 0


# What cannot be written


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "$ is nan"),
        ({"rows": [0, 1, 2, {"score": float("inf")}]}, "$.rows[3].score is inf"),
        ({"a b": (None, float("-inf"))}, "$['a b'][1] is -inf"),
        ({1: float("nan")}, "$[1] is nan"),
        ([2**70, float("nan")], "$[1] is nan"),
        (Tag(float("nan")), "$.name is nan"),  # type: ignore[arg-type]
        ([Size(float("nan"))], "$[0].width is nan"),
        (Row(score=float("nan")), "$.score is nan"),
        ({"point": Point(1, float("nan"))}, "$.point[1] is nan"),  # type: ignore[arg-type]
        (Ratio("nan"), "$ is nan"),
        ([{float("nan")}], "$[0][0] is nan"),
        ([1, [float("nan")], float("inf")], "$[1][0] is nan"),
    ],
    ids=str,
)
def test_a_number_that_is_not_finite_is_refused_with_its_place(value: Any, place: str):
    assert refusal(value) == (
        f"{WHAT} cannot be written as JSON: {place}, which JSON does not have; "
        "pass None, or text, in its place"
    )


@pytest.mark.parametrize(
    "value", [[None, b"\xcb\x7f\xff"], {"null": 1.0}, [None, 2**64, 1e308], [None, 0x7FF0 << 48]]
)
def test_what_only_looks_like_nan_is_written(value: Any):
    assert decode(encode(value, WHAT)) is not None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, Positive(2)]}, "$.a[1] is of type Positive; pass a dict, a list, a dataclass"),
        ((n for n in "ab"), "$ is of type generator; make a list of it"),
        ([Path("x")], f"$[0] is of type {type(Path()).__name__}; pass str() of it"),
        (Row.model_construct(score=Positive(1)), "$.score is of type Positive"),
        ({"a": {(1, 2): 3}}, "$.a has the key (1, 2) of type tuple; keys must be text or numbers"),
        ({"name": "caf\udce9"}, "the text at $.name has the lone surrogate '\\udce9'"),
        ([{"caf\udce9": 1}], "a key of $[0] has the lone surrogate '\\udce9'"),
        ([10**5000], "$[0], of type int: Exceeds the limit"),
        (ValueError("x"), "$ is of type ValueError"),
        (Order, "$ is of type type"),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_what_json_cannot_hold_is_refused_with_its_place_and_a_mend(value: Any, said: str):
    assert f"{WHAT} cannot be written as JSON: {said}" in refusal(value)


def test_a_model_that_cannot_write_itself_is_named():
    class Broken(pydantic.BaseModel):
        @pydantic.model_serializer
        def dump(self) -> dict[str, Any]:
            raise RuntimeError("no")

    assert "$[0], of type" in refusal([Broken()])


def test_the_items_of_a_set_have_a_place():
    assert "$[0] is of type Positive" in refusal(frozenset({Positive(1)}))


def test_fields_that_were_never_set_are_passed_over():
    order = Order.__new__(Order)
    order.rows = [Row.model_construct(score=float("nan"), day=None)]
    with pytest.raises(CodecError):
        encode([None, order], WHAT)


def test_a_coroutine_is_to_be_awaited():
    async def later() -> None: ...

    coroutine = later()
    assert "await it first" in refusal([coroutine])
    coroutine.close()


def test_a_task_is_to_be_yielded():
    class Task:
        is_faulted = False

    assert "yield the task first, and pass its result" in refusal({"result": Task()})


def test_a_structure_that_contains_itself_is_refused():
    circle: dict[str, Any] = {"list": []}
    circle["list"].append(circle)
    assert refusal({"top": circle}).endswith("$.top.list[0] refers back to what it is part of")


def test_the_same_part_twice_is_no_circle():
    part = {"a": 1}
    assert encode([part, part], WHAT) == '[{"a":1},{"a":1}]'


def test_a_structure_nested_too_deeply_is_refused_shortly():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    message = refusal(deep)
    while deep:  # a chain this long overflows the stack when it is freed at once
        deep = deep.pop()
    assert message.startswith(f"{WHAT} is nested too deeply to be written as JSON, at $[0][0]")
    assert len(message) < 200


def test_a_payload_over_the_limit_is_refused_with_its_size():
    assert encode("é" * 4, WHAT, limit=10) == '"éééé"'
    with pytest.raises(PayloadTooLargeError):
        encode("é" * 4, WHAT, limit=9)
    with pytest.raises(PayloadTooLargeError) as info:
        encode("é" * 5_000, WHAT, limit=1_024)
    assert str(info.value) == (
        f"{WHAT} is 10,002 bytes of JSON, over the limit of 1,024; store the data elsewhere "
        "(a file, a blob, a database) and pass a reference to it"
    )


def test_the_payload_is_named_only_when_something_is_wrong():
    asked: list[str] = []

    def what() -> str:
        asked.append("asked")
        return "the report"

    assert decode(encode([None], what, 10), Any, what) == [None]
    assert asked == []
    with pytest.raises(CodecError, match="the report"):
        encode(object(), what)


# What does not fit


@pytest.mark.parametrize(
    ("text", "annotation", "said"),
    [
        ('{"rows":[1,"2"]}', dict[str, list[int]], "Expected `int`, got `str` at $[...][1]"),
        ('{"name":5}', Tag, "does not fit Tag: Expected `str`, got `int` at $.name"),
        ("{}", Tag, "missing required field `name` at $"),
        ("null", int, "does not fit int: Expected `int`, got `null` at $"),
        ("5", None, "does not fit None: Expected `null`, got `int` at $"),
        ('"5"', int, "Expected `int`, got `str` at $"),
        (
            '[{"score":1},{"score":"x"}]',
            list[Row],
            "unable to parse string as a number at $[1].score",
        ),
        ("{}", Row | None, "Field required at $.score"),
        ("5", Positive, "does not fit Positive: Expected `Positive`, got `int` at $"),
        ("5", Path | str, "Expected `str`, got `int` at $"),
    ],
)
def test_json_that_does_not_fit_is_refused_with_place_and_type(
    text: str, annotation: Any, said: str
):
    message = misfit(text, annotation)
    assert message.startswith(f"{WHAT} does not fit ")
    assert message.endswith(said)


@pytest.mark.parametrize("annotation", [Self, Row | Aliased, list[int] | set[int]])
def test_an_annotation_that_cannot_be_read_is_named(annotation: Any):
    assert f"{WHAT} cannot be read as " in misfit("5", annotation)


def test_an_annotation_whose_parts_are_unknown_is_named():
    holder: Any = dataclass(type("Holder", (), {"__annotations__": {"x": "Unheard"}}))
    assert "cannot be read as Holder: name 'Unheard' is not defined" in misfit('{"x":1}', holder)


def test_a_class_that_refuses_a_value_is_heard():
    @dataclass
    class Even:
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise KeyError("odd")

    assert decode('{"number":2}', Even) == Even(2)
    assert "cannot be read as" in misfit('{"number":1}', Even)
    assert "odd" in misfit('{"number":1}', Even)


@pytest.mark.parametrize("text", ["", "[1", "1 2", "NaN", "{'a':1}", '"\ud800"'])
def test_text_that_is_no_json_is_refused(text: str):
    assert misfit(text, Any).startswith(f"{WHAT} is no valid JSON: ")


def test_text_nested_too_deeply_is_refused():
    assert misfit("[" * 100_000, Any) == f"{WHAT} is nested too deeply to be read as JSON"


def test_an_unnamed_payload_is_called_the_value():
    with pytest.raises(CodecError, match=r"^the value does not fit int"):
        decode('"x"', int)

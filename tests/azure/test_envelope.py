"""Payloads: what is wrapped, what is plain, and that all is read as it was written."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.codec import decode
from ostinato.errors import CodecError
from ostinato_azure import envelope

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("$ostinato"), inner),
    max_leaves=10,
)


@given(JSON)
def test_what_a_client_sends_is_read_as_it_was(value: object) -> None:
    text = json.dumps(value)
    sent = envelope.doubled(envelope.written(envelope.plain(text)))
    assert json.loads(envelope.read(sent).text) == value


@given(JSON | JSON.map(json.dumps))
def test_what_goes_to_a_child_is_read_as_it_was_on_either_wire(value: object) -> None:
    text = envelope.written(envelope.plain(json.dumps(value)), once=True)
    for received in (text, json.dumps(text)):
        assert json.loads(envelope.read(received).text) == value


@given(JSON)
def test_a_result_is_read_as_it_was(value: object) -> None:
    text = envelope.written(envelope.plain(json.dumps(value)))
    assert json.loads(envelope.read_exact(text).text) == value


def test_data_that_needs_nothing_beside_it_is_plain() -> None:
    assert envelope.written(envelope.plain('{"a":1}')) == '{"a":1}'


def test_everything_that_an_envelope_carries_comes_back() -> None:
    carried = envelope.CarriedEvent("e", msgspec.Raw(b"[1]"), "id")
    sent = envelope.Envelope(
        ostinato=envelope.VERSION,
        data=msgspec.Raw(b"1"),
        version="2",
        tags={"a": "b"},
        start_at=datetime(2030, 1, 1, tzinfo=UTC),
        event_id="x",
        events=(carried,),
        event_ids=("y",),
        status=msgspec.Raw(b'"s"'),
        call=envelope.Call("i", "e", 3, 2, 2, 1.5),
    )
    found = envelope.read(envelope.written(sent))
    assert envelope.written(found) == envelope.written(sent)
    assert (found.version, found.tags, found.call) == ("2", {"a": "b"}, sent.call)
    assert bytes(found.status) == b'"s"'


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "sent",
    [DEEP, json.dumps(DEEP), f'{{"$ostinato":1,"data":{DEEP}}}'],
    ids=["by itself", "in a string", "in an envelope"],
)
def test_what_is_nested_too_deeply_is_left_to_who_decodes_it(sent: str) -> None:
    text = envelope.read(sent).text
    assert DEEP in text
    with pytest.raises(CodecError, match="too deep"):
        decode(text)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (None, "null"),
        ("", "null"),
        ("no json", '"no json"'),
        ('"{half"', '"{half"'),
        ('{"$ostinato":7}', '{"$ostinato":7}'),
        ('{"$ostinato":"1"}', '{"$ostinato":"1"}'),
    ],
)
def test_foreign_text_is_data(text: str | None, data: str) -> None:
    assert envelope.read(text).text == data

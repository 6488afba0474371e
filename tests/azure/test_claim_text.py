"""Claims in text: found at any depth, and replaced by what they are for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato_azure.claim_text import claim_value, hash_of, is_claimed, unclaim_text


class Memory:
    """Claims in memory."""

    def __init__(self, threshold: int = 100) -> None:
        self.threshold = threshold
        self.texts: dict[str, str] = {}

    def put(self, sha256: str, text: str) -> None:
        self.texts[sha256] = text

    def get(self, sha256: str) -> str:
        return self.texts[sha256]


def test_what_is_not_too_large_stays_as_it_is() -> None:
    claims = Memory()
    text = json.dumps("x" * 98)
    assert claim_value(text, claims) == text
    assert claims.texts == {}


def test_the_size_is_that_of_utf_8() -> None:
    claims = Memory()
    assert is_claimed(claim_value(json.dumps("ü" * 50, ensure_ascii=False), claims))
    assert not is_claimed(claim_value(json.dumps("ü" * 49, ensure_ascii=False), claims))


def test_a_claim_is_an_object_with_hash_and_size() -> None:
    claims = Memory()
    text = json.dumps("x" * 99)
    claim = json.loads(claim_value(text, claims))
    assert claim == {"$ostinato_claim": 1, "sha256": hash_of(text), "size": 101}
    assert claims.texts == {hash_of(text): text}


def nested(text: str, depth: int) -> str:
    """JSON text in a string in a list, again and again."""
    for _ in range(depth):
        text = json.dumps([text, 'a "quote" and \\ a backslash'])
    return text


@pytest.mark.parametrize("depth", range(5))
def test_a_claim_is_found_in_json_within_json_to_any_depth(depth: int) -> None:
    claims = Memory()
    value = {"text": 'ü "quoted" \\ \n' * 20}
    text = json.dumps(value)
    claimed = nested(claim_value(text, claims), depth)
    assert is_claimed(claimed)
    assert unclaim_text(claimed, claims) == nested(text, depth)


def test_a_claim_that_was_parsed_and_written_by_others_is_found() -> None:
    claims = Memory(threshold=0)
    claim = json.loads(claim_value("[1]", claims))
    for text in (json.dumps(claim), json.dumps(claim, separators=(",", ":"))):
        assert unclaim_text(text, claims) == "[1]"


def test_several_claims_are_replaced_and_what_is_put_in_is_not_looked_through() -> None:
    claims = Memory(threshold=0)
    inner = claim_value('"inner"', claims)
    outer = claim_value(inner, claims)
    assert unclaim_text(f"[{inner},{outer}]", claims) == f'["inner",{inner}]'


def test_data_that_looks_like_a_claim_is_kept_elsewhere_however_small() -> None:
    claims = Memory(threshold=10_000)
    forged = json.dumps({"$ostinato_claim": 1, "sha256": "0" * 64, "size": 3})
    claimed = claim_value(forged, claims)
    assert claimed != forged
    assert unclaim_text(claimed, claims) == forged


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(value=json_values, depth=st.integers(0, 4))
def test_any_value_comes_back_from_any_depth(value: Any, depth: int) -> None:
    claims = Memory(threshold=0)
    found: Any = unclaim_text(nested(claim_value(json.dumps(value), claims), depth), claims)
    for _ in range(depth):
        found = json.loads(found)[0]
    assert json.loads(found) == value

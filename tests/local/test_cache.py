from __future__ import annotations

import pytest

from ostinato.local.cache import LiveCache
from ostinato.local.turns import Live
from ostinato.testing.store_contract import head


def filled(size: int, *instance_ids: str) -> LiveCache:
    cache = LiveCache(size)
    for instance_id in instance_ids:
        cache.put(instance_id, Live(head(instance_id), None))
    return cache


def kept(cache: LiveCache, instance_ids: str) -> str:
    return "".join(one for one in instance_ids if cache.peek(one) is not None)


def test_an_entry_is_found_again():
    cache = LiveCache(1)
    live = Live(head("a"), None)
    cache.put("a", live)
    assert cache.get("a") is live
    assert cache.peek("a") is live
    assert cache.get("b") is None


def test_entries_leave_only_when_they_are_told_to():
    cache = filled(1, *"abc")
    assert kept(cache, "abc") == "abc"
    cache.trim()
    assert kept(cache, "abc") == "c"


def test_those_used_longest_ago_leave_first():
    cache = filled(2, *"abc")
    cache.get("a")
    cache.peek("b")
    cache.trim()
    assert kept(cache, "abc") == "ac"


@pytest.mark.parametrize("size", [0, 1, 2])
def test_no_more_than_the_size_stay(size: int):
    cache = filled(size, *"abc")
    cache.trim()
    assert len(kept(cache, "abc")) == size


def test_dropped_and_cleared_entries_are_gone():
    cache = filled(9, *"abc")
    cache.drop("b")
    cache.drop("unknown")
    assert kept(cache, "abc") == "ac"
    cache.clear()
    assert kept(cache, "abc") == ""

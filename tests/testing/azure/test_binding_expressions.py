"""Paths with placeholders."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ostinato.testing.azure.binding_expressions import Pattern, fill
from ostinato.testing.azure.worker import BindingError, Data, Json, Text

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "name", "params"),
    [
        ("in/{name}", "a/b.csv", {"name": "a/b.csv"}),
        ("in/{folder}/{name}.csv", "x/y/a.csv", {"folder": "x/y", "name": "a"}),
        ("in/{name}.csv", "a.txt", None),
        ("in", "anything", {}),
        ("in/exact.txt", "exact.txt", {}),
        ("in/exact.txt", "exactatxt", None),
        ("in/{{literal}}-{name}", "{literal}-1", {"name": "1"}),
    ],
)
def test_a_trigger_path_says_which_blobs_it_takes(pattern, name, params):
    assert Pattern(pattern).container == "in"
    assert Pattern(pattern).match(name) == params


def test_placeholders_are_filled_from_the_triggers_metadata_whatever_their_case():
    metadata: dict[str, Data] = {"name": Text("a"), "QueueTrigger": Text("q"), "n": Json("5")}
    assert fill("out/{NAME}-{queueTrigger}-{n}-{{x}}", metadata, NOW) == "out/a-q-5-{x}"


def test_the_hosts_own_expressions_are_known():
    assert fill("{DateTime}", {}, NOW) == "2026-01-02T03-04-05Z"
    assert len(fill("{rand-guid}", {}, NOW)) == 36


def test_an_expression_that_nothing_fills_is_named():
    with pytest.raises(BindingError, match=r"\{missing\} in 'out/\{missing\}'"):
        fill("out/{missing}", {}, NOW)

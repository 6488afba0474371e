from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import InvalidInstanceIdError
from ostinato.ids import child_id, derived_id, idempotency_key, validate_instance_id


@pytest.mark.parametrize("good", ["a", "order-7_x.y:3@home", "0", ":", "x" * 100])
def test_ids_that_every_host_takes_are_valid(good: str):
    assert validate_instance_id(good) == good


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        ("", "it is empty"),
        ("x" * 101, "it has 101 characters"),
        ("@entity", "it begins with '@'"),
        ("a/b", "character 2 is '/'"),
        ("naïve", "character 3 is 'ï'"),
        ("a b", "character 2 is ' '"),
        ("line\n", "character 5 is '\\n'"),
        ("٣", "character 1 is '٣'"),
        (7, "it is int, not str"),
        (None, "it is NoneType, not str"),
    ],
)
def test_other_ids_are_refused_with_the_fault_and_the_rule(bad: Any, fault: str):
    with pytest.raises(InvalidInstanceIdError) as info:
        validate_instance_id(bad)
    assert fault in str(info.value)
    assert "1 to 100 ASCII letters, digits" in str(info.value)


def test_a_very_long_id_is_shown_shortly():
    with pytest.raises(InvalidInstanceIdError) as info:
        validate_instance_id("x" * 10**6)
    assert len(str(info.value)) < 400


def test_a_child_is_named_by_execution_and_task():
    assert child_id("e7", 3) == "e7:3"


def test_an_idempotency_key_tells_execution_task_and_name():
    assert idempotency_key("e7", 3, "charge") == "e7:3:charge"


def test_idempotency_keys_with_colons_do_not_collide():
    keys = {idempotency_key("e:1", 2, "x"), idempotency_key("e", 1, "2:x")}
    assert len(keys) == 2


def test_an_idempotency_key_fits_a_header():
    assert idempotency_key("e", 0, "zahle\r\nä").isascii()
    assert idempotency_key("e", 0, "zahle\r\nä").isprintable()


def test_a_derived_id_never_changes_between_releases():
    digest = "8b5fc8d23cf3c86fc82c5c1cea3a4ba5b0a4b5301bbc3a63e10fb7719a6e26b1"
    assert derived_id("ingest", "queue", "m1") == f"ingest-{digest}"


@given(st.text(), st.lists(st.text()))
def test_derived_ids_are_valid_and_repeatable(name: str, parts: list[str]):
    derived = derived_id(name, *parts)
    assert validate_instance_id(derived) == derived == derived_id(name, *parts)


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_derived_ids_differ_wherever_parts_differ(first: list[str], second: list[str]):
    assert (derived_id("n", *first) == derived_id("n", *second)) == (first == second)


def test_names_that_look_alike_once_made_safe_still_differ():
    assert derived_id("a/b") != derived_id("a-b")
    assert derived_id("x" * 40, "p") != derived_id("x" * 41, "p")


def test_a_name_that_no_id_may_begin_with_is_mended():
    assert derived_id("@@entity").startswith("entity-")
    assert derived_id("@").startswith("id-")
    assert derived_id("größe").startswith("gr--e-")


def test_undecodable_file_names_are_fine():
    assert derived_id("n", "caf\udce9") != derived_id("n", "caf\udcea")

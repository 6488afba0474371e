from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import codec
from ostinato.errors import RegistrationError
from ostinato.ids import validate_instance_id
from ostinato.triggers import (
    Blob,
    BlobCreated,
    Http,
    HttpAuth,
    HttpRequest,
    Queue,
    QueueMessage,
    Schedule,
    ScheduleTick,
    Trigger,
    TriggerEvent,
    instance_id_for,
    match_blob,
)

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)

EVENTS: list[TriggerEvent] = [
    HttpRequest(method="POST", path="ingest/ada", idempotency_key="k", body=b"\xff"),
    QueueMessage(id="k", body="{}", inserted_at=NOON),
    BlobCreated(container="incoming", name="a.csv", version="1", size=3),
    ScheduleTick(name="k", at=NOON),
]


def fault(make: Callable[[], Trigger | HttpAuth]) -> str:
    with pytest.raises(RegistrationError) as info:
        make()
    return str(info.value)


# Declarations


def test_triggers_are_plain_values():
    assert Http("ingest/{username}") == Http("ingest/{username}", ("POST",), None)
    assert Schedule("0 2 * * *") == Schedule("0 2 * * *", timezone="UTC", catch_up=False)
    assert {Queue("ingest"), Queue("ingest")} == {Queue("ingest")}


def test_methods_are_kept_in_upper_case():
    assert Http("x", methods=("get", "Post")).methods == ("GET", "POST")
    methods: Any = "get"
    assert Http("x", methods=methods).methods == ("GET",)
    methods = ["get"]
    assert Http("x", methods=methods).methods == ("GET",)


@pytest.mark.parametrize("route", ["a", "a/{b}", "{a}/x/{b_2}", "v1.0/~me/a-b_c"])
def test_routes_of_literals_and_parameters_are_taken(route: str):
    assert Http(route).route == route


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("/a", "begins with '/'; write 'a'"),
        ("", "has the segment ''"),
        ("a//b", "has the segment ''"),
        ("a/", "has the segment ''"),
        ("a b", "has the segment 'a b'"),
        ("a/x{b}", "has the segment 'x{b}'"),
        ("a/{b", "has the segment '{b'"),
        ("a/{{b}}", "unbalanced braces"),
        ("a/{}", "the parameter '', which is no identifier"),
        ("a/{b:int}", "the parameter 'b:int', which is no identifier"),
        ("a/{ä}", "the parameter 'ä', which is no identifier"),
        ("{b}/{b}", "the parameter 'b' twice"),
        ("a?x=1", "has the segment 'a?x=1'"),
    ],
)
def test_other_routes_are_refused(route: str, said: str):
    message = fault(lambda: Http(route))
    assert message.startswith(f"HTTP route {route!r}")
    assert said in message


def test_the_same_methods_in_another_order_are_the_same_trigger():
    assert Http("x", methods=("POST", "GET")) == Http("x", methods=("GET", "POST", "GET"))


def test_unknown_and_missing_methods_are_refused():
    assert "has the unknown method 'FETCH'" in fault(lambda: Http("a", ("GET", "FETCH")))
    assert "has no method" in fault(lambda: Http("a", ()))


def test_authentication_names_environment_variables():
    auth = HttpAuth(key_env="INGEST_KEY", hmac_env="INGEST_SECRET")
    assert Http("a", auth=auth).auth == auth


def test_authentication_by_nothing_is_refused():
    assert "needs key_env=... or hmac_env=..." in fault(HttpAuth)


@pytest.mark.parametrize("secret", ["s3cr3t-value", "A B", "1X", "X\n"])
def test_a_secret_in_place_of_its_variable_is_refused_and_not_shown(secret: str):
    message = fault(lambda: HttpAuth(key_env="GOOD", hmac_env=secret))
    assert message.startswith("hmac_env must be the name of an environment variable")
    assert secret not in message


@pytest.mark.parametrize("name", ["abc", "ingest-2", "0a0", "x" * 63])
def test_queue_names_that_every_host_takes_are_valid(name: str):
    assert Queue(name).name == name


@pytest.mark.parametrize(
    "name", ["", "ab", "x" * 64, "Ingest", "a_b", "-abc", "abc-", "a--b", "abc\n", "été"]
)
def test_other_queue_names_are_refused(name: str):
    assert fault(lambda: Queue(name)).startswith(f"queue name {name!r} is not valid on every host")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("incoming", "names no blob"),
        ("incoming/", "names no blob"),
        ("{container}/{name}", "a parameter in place of its container"),
        ("In/{name}", "container name 'In'"),
        ("incoming/{name", "unbalanced braces"),
        ("incoming/name}", "unbalanced braces"),
        ("incoming/{a}{b}", "nothing between two of its parameters"),
        ("incoming/{a}/{a}", "'a' twice"),
        ("incoming/{a-b}", "'a-b', which is no identifier"),
    ],
)
def test_other_blob_patterns_are_refused(pattern: str, said: str):
    assert said in fault(lambda: Blob(pattern))


@pytest.mark.parametrize("cron", ["", "* * * *", "0 0 2 * * *"])
def test_a_cron_expression_has_five_fields(cron: str):
    assert "it needs 5: minute, hour" in fault(lambda: Schedule(cron))


def test_a_cron_field_out_of_range_is_refused_where_cronsim_is_installed():
    pytest.importorskip("cronsim", reason="cronsim is not installed")
    assert Schedule("*/5 8-18 * * MON-FRI").cron == "*/5 8-18 * * MON-FRI"
    assert "'61 * * * *' is not valid" in fault(lambda: Schedule("61 * * * *"))


def test_a_time_zone_must_exist():
    assert Schedule("0 2 * * *", "Europe/Paris").timezone == "Europe/Paris"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_refused(name: str):
    assert f"time zone {name!r} is unknown" in fault(lambda: Schedule("0 2 * * *", name))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda wrong: Http(wrong), "HTTP route is a str, not int (5)"),
        (lambda wrong: Http("a", wrong), "method of HTTP route 'a' is a str, not int (5)"),
        (lambda wrong: Http("a", ("GET", wrong)), "method of HTTP route 'a' is a str, not int (5)"),
        (lambda wrong: Queue(wrong), "queue name is a str, not int (5)"),
        (lambda wrong: Blob(wrong), "blob pattern is a str, not int (5)"),
        (lambda wrong: Schedule(wrong), "cron expression is a str, not int (5)"),
        (lambda wrong: Schedule("* * * * *", wrong), "time zone is a str, not int (5)"),
    ],
)
def test_a_trigger_of_the_wrong_type_is_refused_where_it_is_made(
    make: Callable[[Any], Trigger], said: str
):
    with pytest.raises(TypeError, match=f"^{re.escape(said)}$"):
        make(5)


def test_what_is_no_authentication_is_refused_where_it_is_given_and_not_shown():
    secret: Any = "s3cr3t-value"
    with pytest.raises(TypeError, match=r"auth of HTTP route 'a' is an HttpAuth.*not str") as info:
        Http("a", auth=secret)
    assert secret not in str(info.value)
    number: Any = 5
    assert "key_env must be the name of an environment variable" in fault(lambda: HttpAuth(number))


# Blob patterns


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("in/{name}", "in/a.csv", {"name": "a.csv"}),
        ("in/{name}", "in/2024/a.csv", {"name": "2024/a.csv"}),
        ("in/{name}", "in/", None),
        ("in/{name}", "out/a.csv", None),
        ("in/{name}.csv", "in/x/a.csv", {"name": "x/a"}),
        ("in/{name}.csv", "in/a.tsv", None),
        ("in/{name}.csv", "in/aXcsv", None),
        ("in/{user}/{name}", "in/ada/x/y", {"user": "ada", "name": "x/y"}),
        ("in/{user}/{name}", "in/ada", None),
        ("in/{day}/log.txt", "in/monday/log.txt", {"day": "monday"}),
        ("in/{day}/log.txt", "in/a/b/log.txt", None),
        ("in/{base}.{kind}", "in/a.tar.gz", {"base": "a.tar", "kind": "gz"}),
        ("in/report.csv", "in/report.csv", {}),
        ("in/{name}", "in/line\nbreak", {"name": "line\nbreak"}),
        ("in/{name}", "IN/a", None),
    ],
)
def test_a_pattern_finds_its_parameters(pattern: str, name: str, found: dict[str, str] | None):
    assert match_blob(pattern, name) == found


@given(st.text(st.characters(exclude_characters="/"), min_size=1), st.text(min_size=1))
def test_what_a_pattern_found_gives_the_name_again(user: str, name: str):
    found = match_blob("in/{user}/{name}", f"in/{user}/{name}")
    assert found == {"user": user, "name": name}


# Instance ids


def test_events_of_different_kinds_never_collide():
    ids = {instance_id_for("ingest", event) for event in EVENTS}
    assert len(ids) == len(EVENTS)


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_a_redelivered_event_gives_the_same_valid_id(event: TriggerEvent):
    instance_id = instance_id_for("ingest", event)
    assert instance_id is not None
    assert instance_id.startswith("ingest-")
    assert validate_instance_id(instance_id) == instance_id
    assert instance_id == instance_id_for("ingest", msgspec.structs.replace(event))
    assert instance_id != instance_id_for("nightly_etl", event)


def test_a_message_delivered_again_is_the_same_event():
    again = QueueMessage(id="k", body="{}", dequeue_count=2)
    assert instance_id_for("ingest", again) == instance_id_for("ingest", EVENTS[1])


@pytest.mark.parametrize("change", [{"container": "other"}, {"name": "b.csv"}, {"version": "2"}])
def test_another_blob_or_version_is_another_event(change: dict[str, str]):
    blob = EVENTS[2]
    assert instance_id_for("n", msgspec.structs.replace(blob, **change)) != instance_id_for(
        "n", blob
    )


def test_a_tick_is_an_instant_whatever_zone_it_is_told_in():
    paris = NOON.astimezone(timezone(timedelta(hours=1)))
    told = ScheduleTick(name="k", at=paris)
    assert instance_id_for("n", told) == instance_id_for("n", EVENTS[3])
    later = ScheduleTick(name="k", at=NOON + timedelta(minutes=1))
    assert instance_id_for("n", later) != instance_id_for("n", EVENTS[3])


def test_a_tick_of_naive_time_is_refused():
    with pytest.raises(ValueError, match="schedule 'k' has a naive time"):
        instance_id_for("n", ScheduleTick(name="k", at=datetime(2024, 3, 1)))


@pytest.mark.parametrize("key", [None, ""])
def test_a_request_without_a_key_has_no_derived_id(key: str | None):
    assert instance_id_for("n", HttpRequest(method="POST", path="a", idempotency_key=key)) is None


# Events as payloads


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_events_cross_the_codec(event: TriggerEvent):
    text = codec.encode(event, "event")
    assert codec.decode(text, type(event)) == event
    assert codec.decode(text, TriggerEvent) == event

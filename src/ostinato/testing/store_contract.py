"""What every store promises, as tests.

Subclass `StoreContract` in a test module, give it a ``store`` fixture (an empty hub) and the
method ``reopened``, and pytest runs the suite against your store::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self): ...

        def reopened(self, store, *, killed): ...
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from ostinato.client import IfExists, Query, RuntimeStatus
from ostinato.errors import HubLockedError, StoreError
from ostinato.events import (
    Event,
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    OrchestratorStarted,
    Parent,
    TaskCompleted,
    TaskScheduled,
)
from ostinato.local.store import (
    PURGE_TIMER,
    START_TIMER,
    Change,
    ConflictError,
    Instance,
    Message,
    Store,
    WorkItem,
    WorkKey,
)

NOW = datetime(2026, 3, 1, 12, 30, 15, 123_456, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def head(instance_id: str = "a", **fields: Any) -> Instance:
    """A running instance, created `NOW`; its execution is ``<id>-1``."""
    given: dict[str, Any] = {
        "execution_id": f"{instance_id}-1",
        "name": "ingest",
        "version": None,
        "status": RuntimeStatus.RUNNING,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Instance(instance_id=instance_id, **given | fields)


def new(instance_id: str = "a", events: Sequence[Event] = (), **fields: Any) -> Change:
    """The change that adds `head` with these events; ``fields`` are the change's."""
    given: dict[str, Any] = {
        "instance": head(instance_id, length=len(events)),
        "expected_length": None,
        "events": events,
    }
    return Change(**given | fields)


def after(instance: Instance, events: Sequence[Event] = (), **fields: Any) -> Change:
    """The change that appends events to a stored instance."""
    longer = replace(instance, length=instance.length + len(events))
    given: dict[str, Any] = {
        "instance": longer,
        "expected_length": instance.length,
        "events": events,
    }
    return Change(**given | fields)


def generation(instance: Instance, events: Sequence[Event] = (), **fields: Any) -> Change:
    """The change that begins execution ``<id>-2`` with these events."""
    execution_id = f"{instance.instance_id}-2"
    fresh = replace(instance, execution_id=execution_id, length=len(events))
    given: dict[str, Any] = {
        "instance": fresh,
        "expected_length": instance.length,
        "events": events,
        "fresh": True,
    }
    return Change(**given | fields)


def started(instance_id: str = "a", **fields: Any) -> ExecutionStarted:
    """The start of the execution of `head`."""
    given: dict[str, Any] = {"at": NOW, "execution_id": f"{instance_id}-1", "name": "ingest"}
    return ExecutionStarted(instance_id=instance_id, **given | fields)


def raised(name: str) -> EventRaised:
    """An external event."""
    return EventRaised(at=NOW, name=name)


def message(instance_id: str, name: str) -> Message:
    """An external event on its way."""
    return Message(instance_id=instance_id, event=raised(name))


def item(task_id: int, instance_id: str = "a", execution: int = 1, crashes: int = 0) -> WorkItem:
    """An attempt of an activity of `head`."""
    return WorkItem(
        key=WorkKey(instance_id, f"{instance_id}-{execution}", task_id),
        event=TaskScheduled(at=NOW, task_id=task_id, name="fetch", input='"x"'),
        crashes=crashes,
    )


def names(messages: Sequence[Message]) -> list[str]:
    """The names of the external events in these messages."""
    return [message.event.name for message in messages if isinstance(message.event, EventRaised)]


def ids(instances: Sequence[Instance]) -> list[str]:
    """The ids of these instances."""
    return [instance.instance_id for instance in instances]


def keys(store: Store) -> list[WorkKey]:
    """The keys of all work."""
    return [item.key for item in store.work()]


def timers(store: Store) -> list[tuple[str, int]]:
    """All timers, by instance id and task id."""
    due = store.due(datetime.max.replace(tzinfo=UTC), 1000)
    return [(timer.instance_id, timer.task_id) for timer in due]


def current(store: Store, instance_id: str = "a") -> Instance:
    """The head, which exists."""
    instance = store.instance(instance_id)
    assert instance is not None
    return instance


FULL_HEAD = head(
    version="2",
    status=RuntimeStatus.SUSPENDED,
    updated_at=NOW + SECOND,
    custom_status='{"done": "½"}',
    parent=Parent("boss", "boss-1", 7),
    tags={"user": "ada", "it's": 'a "tag"'},
)


class StoreContract:
    """The suite. Its ``store`` fixture is to be an empty hub that nobody executes."""

    @pytest.fixture
    def store(self) -> Any:
        """An empty hub; to be overridden."""
        raise NotImplementedError("give your subclass of StoreContract a fixture named 'store'")

    def reopened(self, store: Store, *, killed: bool) -> Store:
        """Return the hub opened anew, its executor having closed it or been killed."""
        raise NotImplementedError

    # Heads and histories

    def test_a_new_hub_is_empty(self, store: Store) -> None:
        assert store.instance("a") is None
        assert store.history("a") == []
        assert store.first_event("a") is None
        assert store.last_event("a") is None
        assert store.instances(Query()) == ([], None)
        assert store.children("a") == []
        assert list(store.work()) == []
        assert store.inbox(0, 10) == []
        assert store.due(NOW, 10) == []
        assert store.next_due() is None

    def test_a_head_is_read_back_whole(self, store: Store) -> None:
        store.commit([Change(instance=FULL_HEAD, expected_length=None)])
        assert store.instance("a") == FULL_HEAD

    def test_empty_tags_are_not_absent_tags(self, store: Store) -> None:
        store.commit([Change(instance=head(tags={}), expected_length=None)])
        assert current(store).tags == {}

    def test_a_head_is_replaced_by_the_next_change(self, store: Store) -> None:
        store.commit([new()])
        changed = replace(
            head(),
            name="other",
            version="3",
            status=RuntimeStatus.FAILED,
            updated_at=NOW + SECOND,
            custom_status="1",
            tags={"a": "b"},
        )
        store.commit([Change(instance=changed, expected_length=0)])
        assert store.instance("a") == changed

    def test_events_are_appended_in_order(self, store: Store) -> None:
        first: list[Event] = [OrchestratorStarted(at=NOW), started(), raised("x"), raised("y")]
        second: list[Event] = [raised("z"), TaskCompleted(at=NOW, task_id=0, result='"½"')]
        store.commit([new(events=first)])
        store.commit([after(current(store), second)])
        assert store.history("a") == [*first, *second]
        assert current(store).length == 6

    def test_many_events_of_one_turn_keep_their_order(self, store: Store) -> None:
        events: list[Event] = [OrchestratorStarted(at=NOW), started()]
        events += [TaskScheduled(at=NOW, task_id=id_, name="fetch") for id_ in range(1500)]
        events += [ExecutionCompleted(at=NOW, status="Completed")]
        store.commit([new(events=events)])
        assert store.history("a") == events
        assert store.first_event("a") == events[1]
        assert store.last_event("a") == events[-1]

    def test_instances_of_one_commit_have_histories_of_their_own(self, store: Store) -> None:
        wanted = {f"i{n}": [raised(f"{n}.{m}") for m in range(3)] for n in range(100)}
        store.commit([new(instance_id, events) for instance_id, events in wanted.items()])
        assert {instance_id: store.history(instance_id) for instance_id in wanted} == wanted

    def test_the_first_event_is_found_before_the_first_turn(self, store: Store) -> None:
        pending = head(status=RuntimeStatus.PENDING)
        store.send([message("a", "early"), message("b", "other")])
        store.create(pending, started(input="5"), "reject")
        assert store.first_event("a") == started(input="5")

    def test_the_first_event_of_another_execution_is_not_taken(self, store: Store) -> None:
        other = Message(instance_id="a", event=started(execution_id="other"))
        store.commit([new(messages_sent=[other])])
        assert store.first_event("a") is None

    def test_the_first_event_is_found_in_the_history(self, store: Store) -> None:
        store.commit([new(events=[OrchestratorStarted(at=NOW), started(), raised("x")])])
        assert store.first_event("a") == started()

    def test_the_last_event_is_the_latest_appended(self, store: Store) -> None:
        store.commit([new(events=[raised("x")])])
        store.commit([after(current(store), [raised("y"), raised("z")])])
        assert store.last_event("a") == raised("z")

    # Conflicts and atomicity

    @pytest.mark.parametrize("expected", [None, 0, 1, 3])
    def test_another_length_than_expected_is_a_conflict(
        self, store: Store, expected: int | None
    ) -> None:
        store.commit([new(events=[raised("x"), raised("y")])])
        change = after(head(length=expected or 0), [raised("z")], expected_length=expected)
        with pytest.raises(ConflictError, match="'a'"):
            store.commit([change])
        assert store.history("a") == [raised("x"), raised("y")]

    @pytest.mark.parametrize("fresh", [False, True])
    def test_a_head_expected_where_there_is_none_is_a_conflict(
        self, store: Store, fresh: bool
    ) -> None:
        with pytest.raises(ConflictError, match="'a'"):
            store.commit([Change(instance=head(), expected_length=0, fresh=fresh)])
        assert store.instance("a") is None

    def test_a_new_generation_of_another_length_is_a_conflict(self, store: Store) -> None:
        store.commit([new(events=[raised("x")])])
        with pytest.raises(ConflictError):
            store.commit([generation(head(length=2))])
        assert store.history("a") == [raised("x")]

    def test_one_conflict_undoes_the_whole_commit(self, store: Store) -> None:
        store.commit(
            [
                new(
                    events=[raised("x")],
                    work_added=[item(1)],
                    timers_added=[(2, NOW)],
                    messages_sent=[message("a", "m")],
                )
            ]
        )
        (sent,) = store.inbox(0, 10)
        good = after(
            current(store),
            [raised("y")],
            work_added=[item(3)],
            work_removed=[item(1).key],
            timers_added=[(4, NOW)],
            timers_removed=[2],
            messages_taken=[sent.id],
            messages_sent=[message("a", "n")],
        )
        with pytest.raises(ConflictError, match="'b'"):
            store.commit([good, new("c"), after(head("b", length=9))])
        assert store.history("a") == [raised("x")]
        assert current(store).length == 1
        assert keys(store) == [item(1).key]
        assert timers(store) == [("a", 2)]
        assert store.inbox(0, 10) == [sent]
        assert store.instance("c") is None
        store.commit([good])
        assert names(store.inbox(0, 10)) == ["n"]

    def test_a_head_that_miscounts_its_events_is_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="counts 5 events"):
            store.commit([new("b"), new(instance=head(length=5))])
        assert store.instance("b") is None

    def test_changes_of_one_instance_in_one_commit_follow_each_other(self, store: Store) -> None:
        first = new(events=[raised("x")], work_added=[item(1)], timers_added=[(2, NOW)])
        second = after(
            first.instance, [raised("y")], work_removed=[item(1).key], timers_removed=[2]
        )
        third = after(second.instance, [raised("z")], work_added=[item(1)])
        store.commit([first, second, new("b"), third])
        assert store.history("a") == [raised("x"), raised("y"), raised("z")]
        assert keys(store) == [item(1).key]
        assert timers(store) == []

    def test_a_conflict_with_an_earlier_change_of_the_same_commit(self, store: Store) -> None:
        first = new(events=[raised("x")])
        with pytest.raises(ConflictError):
            store.commit([first, after(head(), [raised("y")])])
        assert store.instance("a") is None

    def test_an_empty_commit_changes_nothing(self, store: Store) -> None:
        store.commit([])
        assert store.instances(Query()) == ([], None)

    # New generations and replacements

    def test_a_new_generation_keeps_messages_and_work(self, store: Store) -> None:
        store.commit(
            [
                new(
                    events=[raised("x")],
                    work_added=[item(1)],
                    timers_added=[(2, NOW)],
                    messages_sent=[message("a", "m")],
                )
            ]
        )
        store.commit([generation(current(store), [raised("y")], timers_added=[(0, NOW)])])
        assert store.history("a") == [raised("y")]
        assert current(store).execution_id == "a-2"
        assert keys(store) == [item(1).key]
        assert timers(store) == [("a", 0)]
        assert names(store.inbox(0, 10)) == ["m"]

    def test_a_new_generation_may_change_the_whole_head(self, store: Store) -> None:
        store.commit([new()])
        change = Change(
            instance=replace(FULL_HEAD, created_at=NOW - SECOND), expected_length=0, fresh=True
        )
        store.commit([change])
        assert store.instance("a") == change.instance
        assert ids(store.children("boss")) == ["a"]

    @pytest.mark.parametrize("by", ["commit", "create"])
    def test_a_replacement_keeps_only_work(
        self, store: Store, by: Literal["commit", "create"]
    ) -> None:
        finished = head(status=RuntimeStatus.COMPLETED, parent=Parent("boss", "boss-1", 0))
        store.commit([new("other", messages_sent=[message("other", "kept")])])
        store.commit([new(instance=finished, work_added=[item(1)], timers_added=[(2, NOW)])])
        store.commit([after(finished, [raised("x")], messages_sent=[message("a", "m")])])
        successor = replace(head(), execution_id="a-2", status=RuntimeStatus.PENDING)
        if by == "commit":
            store.commit([Change(instance=successor, expected_length=None, fresh=True)])
        else:
            beginning = started(execution_id="a-2")
            assert store.create(successor, beginning, "replace_finished") == "created"
            assert store.first_event("a") == beginning
        assert store.instance("a") == successor
        assert store.history("a") == []
        assert timers(store) == []
        assert names(store.inbox(0, 10)) == ["kept"]
        assert store.children("boss") == []
        assert keys(store) == [item(1).key]

    def test_a_replacement_need_not_replace_anything(self, store: Store) -> None:
        store.commit([new(fresh=True)])
        assert store.instance("a") == head()

    def test_a_replacement_drops_only_messages_sent_before_it(self, store: Store) -> None:
        store.commit([new()])
        store.commit(
            [
                new("b", messages_sent=[message("a", "before")]),
                new(fresh=True, messages_sent=[message("a", "own")]),
                new("c", messages_sent=[message("a", "behind")]),
            ]
        )
        assert names(store.inbox(0, 10)) == ["own", "behind"]

    # Work

    def test_work_is_listed_by_creation_then_task_id(self, store: Store) -> None:
        store.commit([new("z", work_added=[item(9, "z"), item(2, "z")])])
        store.commit([new("a", work_added=[item(1), item(0, crashes=3)])])
        store.commit([after(head("z"), work_added=[item(5, "z")])])
        wanted = [item(2, "z"), item(5, "z"), item(9, "z"), item(0, crashes=3), item(1)]
        assert list(store.work()) == wanted

    def test_work_of_several_executions_is_told_apart(self, store: Store) -> None:
        store.commit([new(work_added=[item(1)])])
        store.commit([generation(current(store), work_added=[item(1, execution=2)])])
        assert keys(store) == [item(1).key, item(1, execution=2).key]
        store.commit([after(current(store), work_removed=[item(1).key])])
        assert keys(store) == [item(1, execution=2).key]

    def test_work_both_added_and_removed_is_gone(self, store: Store) -> None:
        store.commit([new(work_added=[item(1), item(2)], work_removed=[item(1).key])])
        assert keys(store) == [item(2).key]

    def test_work_added_again_takes_the_place_of_the_former(self, store: Store) -> None:
        store.commit([new(work_added=[item(1, crashes=3)])])
        store.commit([after(head(), work_added=[item(1)])])
        assert list(store.work()) == [item(1)]

    def test_unknown_work_timers_and_messages_are_removed_silently(self, store: Store) -> None:
        store.commit([new(work_removed=[item(1).key], timers_removed=[1], messages_taken=[99])])
        assert store.instance("a") == head()

    def test_work_of_any_amount_is_listed_once(self, store: Store) -> None:
        work = [item(task_id) for task_id in range(2500)]
        store.commit([new(work_added=work), new("b", work_added=[item(0, "b")])])
        assert list(store.work()) == [*work, item(0, "b")]

    # Timers

    def test_timers_are_due_earliest_first(self, store: Store) -> None:
        store.commit([new(timers_added=[(5, NOW + SECOND), (7, NOW), (6, NOW)])])
        store.commit([new("b", timers_added=[(1, NOW - SECOND), (2, NOW + 2 * SECOND)])])
        due = store.due(NOW + SECOND, 10)
        assert [(timer.instance_id, timer.task_id) for timer in due] == [
            ("b", 1),
            ("a", 6),
            ("a", 7),
            ("a", 5),
        ]
        assert due[0] == (NOW - SECOND, "b", "b-1", 1)
        assert store.due(NOW + SECOND, 2) == due[:2]
        assert store.next_due() == NOW - SECOND

    def test_a_timer_is_due_at_its_very_microsecond(self, store: Store) -> None:
        store.commit([new(timers_added=[(0, NOW)])])
        assert store.due(NOW - timedelta(microseconds=1), 10) == []
        assert len(store.due(NOW, 10)) == 1

    def test_a_timer_set_again_has_the_new_time_only(self, store: Store) -> None:
        store.commit([new(timers_added=[(PURGE_TIMER, NOW)])])
        store.commit([after(head(), timers_added=[(PURGE_TIMER, NOW + SECOND)])])
        assert store.due(NOW, 10) == []
        assert timers(store) == [("a", PURGE_TIMER)]

    def test_a_timer_both_added_and_removed_is_gone(self, store: Store) -> None:
        store.commit([new(timers_added=[(1, NOW)], timers_removed=[1])])
        assert store.next_due() is None

    def test_an_ended_instance_loses_its_timers_but_those_added_then(self, store: Store) -> None:
        store.commit([new(timers_added=[(1, NOW), (2, NOW)]), new("b", timers_added=[(1, NOW)])])
        store.commit([after(head(), timers_cleared=True, timers_added=[(PURGE_TIMER, NOW)])])
        assert timers(store) == [("a", PURGE_TIMER), ("b", 1)]

    # Messages

    def test_messages_arrive_in_the_order_sent(self, store: Store) -> None:
        store.commit(
            [
                new("a", messages_sent=[message("x", "1"), message("y", "2")]),
                new("b", messages_sent=[message("x", "3")]),
            ]
        )
        store.send([message("y", "4"), message("x", "5")])
        stored = store.inbox(0, 10)
        assert names(stored) == ["1", "2", "3", "4", "5"]
        assert [m.id for m in stored] == sorted({m.id for m in stored})
        assert names(store.inbox(stored[1].id, 2)) == ["3", "4"]

    def test_a_message_is_read_back_whole(self, store: Store) -> None:
        sent = Message(
            instance_id="nobody",
            event=started("nobody", parent=Parent("boss", "boss-1", 7)),
            execution_id="nobody-1",
            parent=Parent("boss", "boss-1", 7),
        )
        store.send([sent])
        (stored,) = store.inbox(0, 10)
        assert stored.id > 0
        assert replace(stored, id=0) == sent

    def test_the_messages_of_one_instance_are_told_apart(self, store: Store) -> None:
        store.send([message("a", "1"), message("b", "2"), message("a", "3")])
        assert names(store.inbox_of("a")) == ["1", "3"]
        assert store.inbox_of("a")[1] == store.inbox(0, 10)[2]
        assert store.inbox_of("unknown") == []

    def test_discarded_messages_are_gone(self, store: Store) -> None:
        store.send([message("a", "1"), message("b", "2"), message("a", "3")])
        store.discard([stored.id for stored in store.inbox_of("a")] + [99])
        store.discard([])
        assert names(store.inbox(0, 10)) == ["2"]

    def test_ids_of_taken_messages_are_not_given_again(self, store: Store) -> None:
        store.send([message("a", "1"), message("a", "2")])
        last = store.inbox(0, 10)[-1].id
        store.commit([new(messages_taken=[m.id for m in store.inbox(0, 10)])])
        assert store.inbox(0, 10) == []
        store.send([message("a", "3")])
        assert names(store.inbox(last, 10)) == ["3"]

    def test_messages_sent_from_many_threads_are_all_kept(self, store: Store) -> None:
        def send(sender: int) -> None:
            for n in range(20):
                store.send([message("a", f"{sender}.{n}")])

        threads = [Thread(target=send, args=(sender,)) for sender in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        received = names(store.inbox(0, 100))
        for sender in range(4):
            own = [name for name in received if name.startswith(f"{sender}.")]
            assert own == [f"{sender}.{n}" for n in range(20)]

    # Create

    def test_an_instance_is_created_with_its_first_message(self, store: Store) -> None:
        pending = head(status=RuntimeStatus.PENDING, tags={"a": "b"})
        assert store.create(pending, started(), "reject") == "created"
        assert store.instance("a") == pending
        (stored,) = store.inbox(0, 10)
        assert stored.instance_id == "a"
        assert stored.event == started()
        assert store.next_due() is None

    def test_a_later_start_is_a_timer(self, store: Store) -> None:
        beginning = started(start_at=NOW + SECOND)
        store.create(head(status=RuntimeStatus.PENDING), beginning, "reject")
        assert store.due(NOW + SECOND, 10) == [(NOW + SECOND, "a", "a-1", START_TIMER)]

    @pytest.mark.parametrize("if_exists", ["reject", "attach", "replace_finished"])
    @pytest.mark.parametrize("status", list(RuntimeStatus))
    def test_only_a_finished_instance_is_replaced(
        self, store: Store, status: RuntimeStatus, if_exists: IfExists
    ) -> None:
        store.commit([new(instance=head(status=status))])
        replaces = status.is_finished and if_exists == "replace_finished"
        wanted = head(status=RuntimeStatus.PENDING, execution_id="a-2")
        outcome = store.create(wanted, started(execution_id="a-2"), if_exists)
        assert outcome == ("created" if replaces else "exists")
        assert store.instance("a") == (wanted if replaces else head(status=status))
        assert len(store.inbox(0, 10)) == replaces

    # Listings

    def test_instances_are_listed_newest_first(self, store: Store) -> None:
        store.commit([new(instance=head("old", created_at=NOW - SECOND))])
        store.commit([new(instance=head("new", created_at=NOW + SECOND))])
        store.commit([new("x"), new("y")])
        page, next_page = store.instances(Query())
        assert ids(page) == ["new", "y", "x", "old"]
        assert next_page is None

    def test_pages_stay_in_place_while_others_start_and_finish(self, store: Store) -> None:
        store.commit([new(f"i{n}") for n in range(7)])
        first, page = store.instances(Query(page_size=3))
        store.commit([new("later"), after(head("i2")), after(head("i6"))])
        store.purge(["i3"])
        second, page = store.instances(Query(page_size=3, page=page))
        assert ids(first) == ["i6", "i5", "i4"]
        assert ids(second) == ["i2", "i1", "i0"]
        assert page is None

    def test_a_last_page_that_is_full_has_no_next(self, store: Store) -> None:
        store.commit([new("a"), new("b")])
        _, page = store.instances(Query(page_size=1))
        last, page = store.instances(Query(page_size=1, page=page))
        assert ids(last) == ["a"]
        assert page is None

    @pytest.mark.parametrize(
        ("query", "wanted"),
        [
            (Query(status=(RuntimeStatus.FAILED,)), ["etl_2"]),
            (Query(status=(RuntimeStatus.FAILED, RuntimeStatus.RUNNING)), ["etl_2", "etl_1"]),
            (Query(created_from=NOW), ["etlx3", "etl_2"]),
            (Query(created_to=NOW), ["etl_2", "etl_1"]),
            (Query(created_from=NOW, created_to=NOW), ["etl_2"]),
            (Query(name="load"), ["etlx3"]),
            (Query(name="LOAD"), []),
            (Query(prefix="etl_"), ["etl_2", "etl_1"]),
            (Query(prefix="ETL"), []),
            (Query(prefix="%"), []),
            (Query(tags={"user": "ada"}), ["etlx3", "etl_1"]),
            (Query(tags={"user": "ada", "it's": 'a "tag"'}), ["etlx3"]),
            (Query(tags={"user": "bob"}), []),
            (Query(tags={"user": "ada"}, prefix="etl_", created_to=NOW), ["etl_1"]),
        ],
    )
    def test_a_query_finds_what_meets_all_its_conditions(
        self, store: Store, query: Query, wanted: list[str]
    ) -> None:
        heads = [
            head("etl_1", created_at=NOW - SECOND, tags={"user": "ada"}),
            head("etl_2", status=RuntimeStatus.FAILED),
            head(
                "etlx3",
                name="load",
                created_at=NOW + SECOND,
                status=RuntimeStatus.COMPLETED,
                tags={"it's": 'a "tag"', "user": "ada"},
            ),
        ]
        store.commit([new(instance=instance) for instance in heads])
        assert ids(store.instances(query)[0]) == wanted

    @pytest.mark.parametrize("query", [Query(page="nonsense"), Query(page_size=0)])
    def test_a_page_that_cannot_be_is_refused(self, store: Store, query: Query) -> None:
        with pytest.raises(ValueError, match="page"):
            store.instances(query)

    def test_children_are_found_by_their_parent(self, store: Store) -> None:
        for child, parent in (("a", "boss"), ("b", "boss"), ("c", "other")):
            instance = head(child, parent=Parent(parent, f"{parent}-1", 0))
            store.commit([new(instance=instance)])
        store.commit([new("boss")])
        assert ids(store.children("boss")) == ["a", "b"]
        assert store.children("a") == []

    # Purging

    def test_purging_forgets_children_and_theirs(self, store: Store) -> None:
        family = {"boss": None, "child": "boss", "grandchild": "child", "stranger": None}
        for instance_id, parent in family.items():
            instance = head(
                instance_id,
                length=1,
                parent=parent and Parent(parent, "e", 0),
                status=RuntimeStatus.COMPLETED,
            )
            store.commit(
                [
                    Change(
                        instance=instance,
                        expected_length=None,
                        events=[raised("x")],
                        work_added=[item(0, instance_id)],
                        timers_added=[(1, NOW)],
                        messages_sent=[message(instance_id, instance_id)],
                    )
                ]
            )
        gone = store.purge(["boss", "boss", "child", "unknown"])
        assert sorted(gone) == ["boss", "child", "grandchild"]
        assert ids(store.instances(Query())[0]) == ["stranger"]
        assert store.history("boss") == []
        assert keys(store) == [item(0, "stranger").key]
        assert timers(store) == [("stranger", 1)]
        assert names(store.inbox(0, 10)) == ["stranger"]
        assert store.children("boss") == []

    def test_children_that_still_run_are_not_purged(self, store: Store) -> None:
        boss = head("boss", status=RuntimeStatus.COMPLETED)
        child = head("child", parent=Parent("boss", "e", 0))
        store.commit([Change(instance=one, expected_length=None) for one in (boss, child)])
        assert list(store.purge(["boss"])) == ["boss"]
        assert store.instance("child") == child

    def test_purging_nothing_forgets_nothing(self, store: Store) -> None:
        store.commit([new()])
        assert list(store.purge([])) == []
        assert list(store.purge(["unknown"])) == []
        assert store.instance("a") == head()

    def test_a_purged_id_may_be_used_again(self, store: Store) -> None:
        store.commit([new(events=[raised("x")])])
        store.purge(["a"])
        store.commit([new(events=[raised("y")])])
        assert store.history("a") == [raised("y")]

    # Executing the hub

    def test_a_hub_has_one_executor_at_a_time(self, store: Store) -> None:
        store.acquire()
        with pytest.raises(HubLockedError, match="executed by"):
            store.acquire()

    def test_a_hub_keeps_everything_while_it_is_closed(self, store: Store) -> None:
        store.acquire()
        store.commit(
            [
                new(
                    events=[raised("x")],
                    work_added=[item(1, crashes=1)],
                    timers_added=[(2, NOW)],
                    messages_sent=[message("a", "m")],
                )
            ]
        )
        with closing(self.reopened(store, killed=False)) as again:
            again.acquire()
            assert again.history("a") == [raised("x")]
            assert list(again.work()) == [item(1, crashes=1)]
            assert timers(again) == [("a", 2)]
            assert names(again.inbox(0, 10)) == ["m"]

    def test_what_ran_when_the_executor_was_killed_is_counted(self, store: Store) -> None:
        board = store.acquire()
        store.commit([new(work_added=[item(0), item(1), item(2)])])
        slots = [board.started(item(task_id).key) for task_id in (0, 1)]
        board.finished(slots[0])
        with closing(self.reopened(store, killed=True)) as again:
            board = again.acquire()
            assert again.crashed() == [item(1).key]
            assert list(again.work()) == [item(0), item(1, crashes=1), item(2)]
            board.started(item(1).key)
            with closing(self.reopened(again, killed=True)) as once_more:
                once_more.acquire()
                once_more.crashed()
                assert list(once_more.work()) == [item(0), item(1, crashes=2), item(2)]

    def test_what_has_reported_did_not_crash(self, store: Store) -> None:
        board = store.acquire()
        store.commit([new(work_added=[item(0)])])
        board.started(item(0).key)
        store.commit([after(head(), work_removed=[item(0).key])])
        with closing(self.reopened(store, killed=True)) as again:
            again.acquire()
            assert again.crashed() == []

    def test_a_crash_is_reported_once(self, store: Store) -> None:
        board = store.acquire()
        store.commit([new(work_added=[item(0)])])
        board.started(item(0).key)
        with closing(self.reopened(store, killed=True)) as again:
            again.acquire()
            assert again.crashed() == [item(0).key]
            with closing(self.reopened(again, killed=True)) as once_more:
                once_more.acquire()
                assert once_more.crashed() == []

    def test_nothing_has_crashed_after_a_graceful_close(self, store: Store) -> None:
        board = store.acquire()
        store.commit([new(work_added=[item(0)])])
        slot = board.started(item(0).key)
        with closing(self.reopened(store, killed=False)) as again:
            again.acquire()
            assert again.crashed() == []
            board.finished(slot)

    def test_only_the_executor_learns_of_crashes(self, store: Store) -> None:
        with pytest.raises(StoreError, match="acquire"):
            store.crashed()

    def test_own_writes_do_not_change_the_version(self, store: Store) -> None:
        version = store.version()
        store.commit([new()])
        store.send([message("a", "m")])
        assert store.version() == version

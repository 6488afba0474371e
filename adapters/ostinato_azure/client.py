"""The client of a deployed function app, over the extension's management API.

Azure has no atomic start: whether an id is free is asked before, so of two clients that start
the same id at the same time the second may find the extension's own conflict, which is reported
alike. What a terminated instance leaves open is ended one by one, since Azure ends no children.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from ostinato import arguments
from ostinato.app import App
from ostinato.arguments import as_utc
from ostinato.client import IfExists, InstanceStatus, Page, Query, RuntimeStatus, Start, pages
from ostinato.codec import encode
from ostinato.errors import (
    InstanceExistsError,
    InstanceFinishedError,
    NotRewindableError,
    OstinatoError,
)
from ostinato.events import Event, Json
from ostinato.ids import validate_instance_id
from ostinato.replay import PARENT_ENDED
from ostinato.starting import check_start
from ostinato_azure import envelope
from ostinato_azure.appearing import APPEARS_IN, Patience
from ostinato_azure.claim_text import Claims
from ostinato_azure.client_history import Child, children_of, failed_children_of, history_of
from ostinato_azure.client_payloads import Payloads, UnclaimedError
from ostinato_azure.client_rewind import has_handled_failures
from ostinato_azure.client_status import input_of, status_of
from ostinato_azure.management import BRIEF, EVENTS, WHOLE, Management, exists, reason_text
from ostinato_azure.webhook import Place, Webhook, place_of, place_of_binding

if TYPE_CHECKING:
    import httpx

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 2.0
_TAKES_EFFECT_IN = 10.0
"""Seconds in which a verb that was accepted has its effect, unless the app is down."""


class _Ending:
    """The ending of a tree of instances.

    Args:
        waits_always: Whether children of an instance that has ended some time ago must appear, too.
    """

    def __init__(self, *, waits_always: bool = False) -> None:
        self.waits_always = waits_always
        self.patience = Patience(APPEARS_IN)
        self.seen: set[str] = set()
        """Those that are seen to already."""


class AzureClient:
    """Starts, watches and steers the instances of a function app; see `ostinato.client.Client`.

    Every verb raises `AzureError` where the app does not answer as it should. Requests that are
    throttled or lost are made again a few times. Verbs that take a reason raise
    `PayloadTooLargeError` where it is longer than a URL can be. Safe to use from any thread.

    Args:
        url: The app's, e.g. ``https://pipelines.azurewebsites.net``, or its webhooks'.
        key: The system key of the durabletask extension; else ``OSTINATO_AZURE_KEY`` has it.
        task_hub: Another hub than the app's own.
        app: The application, where it is at hand: names and inputs are then checked.
        claims: Where the app keeps large payloads, if it does.
        unclaimed: Told of inputs and outputs that cannot be had without ``claims``, each of which
            is then given as the claim that stands in its place; by default it is an error.
        transport: What carries the requests, in place of the network.

    Raises:
        ValueError: The URL is no app's.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        task_hub: str | None = None,
        app: App | None = None,
        claims: Claims | None = None,
        unclaimed: Callable[[UnclaimedError], None] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connect(place_of(url, key, task_hub), app, claims, unclaimed, transport)

    @classmethod
    def from_binding(
        cls, text: str, *, app: App | None = None, claims: Claims | None = None
    ) -> AzureClient:
        """Return the client inside a function app, from its ``durableClient`` binding's text.

        Raises:
            ValueError: The text is no such binding's.
        """
        client = cls.__new__(cls)
        client._connect(place_of_binding(text), app, claims, None, None)
        return client

    def _connect(
        self,
        place: Place,
        app: App | None,
        claims: Claims | None,
        unclaimed: Callable[[UnclaimedError], None] | None,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self._api = Management(Webhook(place, transport=transport))
        self._registry = None if app is None else app.registry
        self._payloads = Payloads(claims, self._registry, grpc=place.grpc, unclaimed=unclaimed)
        self._base = place.base

    def __repr__(self) -> str:
        return f"AzureClient({self._base!r})"

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    # Starting

    def start(
        self,
        name: str | Callable[..., Any],
        input: Any = None,
        *,
        instance_id: str | None = None,
        if_exists: IfExists = "reject",
        start_at: datetime | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        version: str | None = None,
    ) -> str:
        """See `Client.start`; on Azure it is not atomic."""
        at = datetime.now(UTC) + start_at if isinstance(start_at, timedelta) else start_at
        start = Start(
            name=name,
            input=input,
            instance_id=instance_id,
            if_exists=if_exists,
            start_at=at,
            tags=tags,
            version=version,
        )
        return self.start_many([start])[0]

    def start_many(self, starts: Iterable[Start]) -> list[str]:
        """See `Client.start_many`; all are checked first, then started one after the other."""
        prepared = [(start, *self._prepared(start)) for start in starts]
        return [self._start(start, name, payload) for start, name, payload in prepared]

    def _prepared(self, start: Start) -> tuple[str, envelope.Envelope]:
        """The name and the payload of what is to be started."""
        name, version, text = check_start(self._registry, start)
        if start.instance_id is not None:
            validate_instance_id(start.instance_id)
        return name, envelope.Envelope(
            ostinato=envelope.VERSION,
            data=msgspec.Raw(text.encode()),
            version=version,
            tags=arguments.tags(start.tags),
            start_at=None if start.start_at is None else as_utc(start.start_at, "start_at"),
        )

    def _start(self, start: Start, name: str, payload: envelope.Envelope) -> str:
        text = self._payloads.sent(payload, name)
        instance_id = start.instance_id
        if instance_id is None:
            instance_id = uuid4().hex
            self._api.start(name, instance_id, text, is_ours=True)
            return instance_id
        if start.if_exists != "replace_finished":
            existing = self._api.find(instance_id, BRIEF)
            if existing is not None and start.if_exists == "attach":
                return instance_id
            if existing is not None:
                raise exists(instance_id, existing["runtimeStatus"])
        self._api.start(name, instance_id, text, is_ours=start.if_exists == "attach")
        return instance_id

    def start_payload(self, name: str, instance_id: str, payload: Json) -> None:
        """Start an instance with a payload as it is, or leave the one that exists alone."""
        if self._api.find(instance_id, BRIEF) is None:
            text = self._payloads.sent_as_it_is(payload, name)
            self._api.start(name, instance_id, text, is_ours=True)

    # Watching

    def get_status(self, instance_id: str, *, within: float | None = None) -> InstanceStatus:
        """See `Client.get_status`; ``within`` is as for `runtime_status`."""
        found = self._api.get(instance_id, within=within)
        if found["runtimeStatus"] == "Failed":
            found = self._api.get(instance_id, {"showHistory": "true"}, within=within)
        return status_of(self._payloads.told(found))

    def runtime_status(self, instance_id: str, *, within: float | None = None) -> RuntimeStatus:
        """Return where the instance stands, without its payloads.

        Args:
            instance_id: The instance.
            within: Seconds in which the app must answer, of which it has one at least; by default
                a minute for each try.
        """
        return RuntimeStatus(self._api.get(instance_id, BRIEF, within=within)["runtimeStatus"])

    def wait(self, instance_id: str, timeout: float | None = None) -> InstanceStatus:
        """See `Client.wait`; the instance is asked for again and again, ever less often."""
        status = self.await_status(
            instance_id, lambda status: status.is_finished, timeout, answers_in_time=True
        )
        if not status.is_finished:
            raise TimeoutError(
                f"instance {instance_id!r} has not ended within {timeout} s; "
                f"it is {status.value} and goes on"
            )
        return self.get_status(instance_id)

    def await_status(
        self,
        instance_id: str,
        is_enough: Callable[[RuntimeStatus], bool],
        timeout: float | None,
        *,
        answers_in_time: bool = False,
    ) -> RuntimeStatus:
        """Wait until the status is enough, or until time is up; return the last one.

        With ``answers_in_time`` no answer is waited for any longer, either.
        """
        deadline = inf if timeout is None else time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while True:
            within = deadline - time.monotonic() if answers_in_time else None
            status = self.runtime_status(instance_id, within=within)
            left = deadline - time.monotonic()
            if is_enough(status) or left <= 0:
                return status
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def list_instances(self, query: Query = Query()) -> Page:
        """See `Client.list_instances`.

        Azure's own order is by id, so the newest come first within a page only. Names and tags
        are looked at here, so a page may hold fewer than asked for, or none. What is claimed is
        not fetched, unless tags are asked for and may be in it.
        """
        return self._list(query, {})

    def list_outlines(self, query: Query) -> Page:
        """As `list_instances`, without inputs, which may be many and large: so of versions and
        tags nothing is told, and none can be asked for."""
        assert not query.tags
        return self._list(query, BRIEF)

    def _list(self, query: Query, options: Mapping[str, str]) -> Page:
        arguments.count(query.page_size, "page_size")
        conditions = {"top": str(query.page_size), **options}
        if query.statuses:
            conditions["runtimeStatus"] = ",".join(query.statuses)
        if query.created_from is not None:
            conditions["createdTimeFrom"] = _query_time(query.created_from)
        if query.created_to is not None:
            conditions["createdTimeTo"] = _query_time(query.created_to)
        if query.prefix:
            conditions["instanceIdPrefix"] = query.prefix
        items, next_page = self._api.page(conditions, query.page)
        if query.name:
            items = [item for item in items if item["name"] == query.name]
        if query.tags:
            items = [self._payloads.tagged(item) for item in items]
        found = [status_of(item) for item in items]
        chosen = [status for status in found if query.tags.items() <= status.tags.items()]
        return Page(
            instances=sorted(chosen, key=lambda status: status.created_at, reverse=True),
            next_page=next_page,
        )

    def get_history(self, instance_id: str) -> Sequence[Event]:
        """See `Client.get_history`; the API leaves out task ids and turns, so these are made up.

        For replaying, the extension's request to the function is a whole history.
        """
        return history_of(self._payloads.whole(self._api.get(instance_id, WHOLE)))

    def get_outline(self, instance_id: str, *, within: float | None = None) -> Sequence[Event]:
        """As `get_history`, without the payloads, which may be many and large.

        ``within`` is as for `runtime_status`.
        """
        return history_of(self._api.get(instance_id, EVENTS, within=within))

    # Steering

    def raise_event(
        self, instance_id: str, name: str, data: Any = None, *, event_id: str | None = None
    ) -> None:
        """See `Client.raise_event`."""
        limit = None if self._registry is None else self._registry.payload_limit
        arguments.text(name, "name of an event")
        text = encode(data, f"data of event {name!r}", limit)
        self.send_payload(instance_id, name, text, arguments.optional_text(event_id, "event_id"))

    def send_payload(self, instance_id: str, name: str, data: Json, event_id: str | None) -> None:
        """Raise an event whose data is JSON text."""
        payloads = self._payloads
        if payloads.has_others and not payloads.is_ours(self._api.get(instance_id, BRIEF)["name"]):
            self._api.raise_event(instance_id, name, data, is_taken_once=False)
            return
        payload = msgspec.structs.replace(envelope.plain(data), event_id=event_id)
        text = payloads.sent_event(payload)
        self._api.raise_event(instance_id, name, text, is_taken_once=event_id is not None)

    def terminate(self, instance_id: str, reason: str = "", *, cascade: bool = True) -> None:
        """See `Client.terminate`; the children are ended when the instance has.

        An error with one child does not keep the others from being ended; the first is raised at
        the end. Terminating a terminated instance again ends the children that are left, those
        that ``cascade=False`` left among them, before `InstanceFinishedError` is raised.
        """
        why = reason_text(reason)
        if cascade:
            self._terminate_tree(instance_id, why, _Ending())
        else:
            self._api.steer(instance_id, "terminate", why)

    def terminate_child(self, instance_id: str, reason: str, *, replaces: bool) -> None:
        """Terminate an instance that may yet have to appear, and its children, which must.

        With ``replaces`` one that has ended may be found in its place until then.

        Raises:
            InstanceFinishedError: It has ended; open children that it left were ended before.
            InstanceNotFoundError: It, or a child of its, does not appear.
        """
        ending, why = _Ending(waits_always=True), reason_text(reason)
        self._terminate_tree(instance_id, why, ending, is_new=True, is_other=lambda: replaces)

    def _terminate_tree(
        self,
        instance_id: str,
        why: str,
        ending: _Ending,
        *,
        is_new: bool = False,
        is_other: Callable[[], bool] = lambda: False,
    ) -> None:
        """End an instance, which with ``is_new`` may yet have to appear, and its open children.

        ``is_other`` is as for `Patience.when_there`.
        """
        ending.seen.add(instance_id)
        steer = partial(self._api.steer, instance_id, "terminate", why)
        try:
            if is_new:
                ending.patience.when_there(steer, is_other=is_other)
            else:
                steer()
        except InstanceFinishedError:
            found = self._api.find(instance_id, EVENTS)
            if found is not None:
                self._terminate_children(found, ending, is_later=True)
            raise
        self.await_status(instance_id, lambda status: status.is_finished, _TAKES_EFFECT_IN)
        self._terminate_children(self._api.get(instance_id, EVENTS), ending, is_later=False)

    def _terminate_children(
        self, found: dict[str, Any], ending: _Ending, *, is_later: bool
    ) -> None:
        """End the open children of an instance, unless it ended otherwise than by termination.

        With ``is_later``, it ended some time ago, and a child's id may be another's by now.
        """
        status = RuntimeStatus(found["runtimeStatus"])
        if status.is_finished and status is not RuntimeStatus.TERMINATED:
            return
        first: OstinatoError | None = None
        for child in children_of(found):
            if not child.is_open or child.instance_id in ending.seen:
                continue
            try:
                below = self._api.find(child.instance_id, BRIEF) if is_later else None
                if below is None and is_later and not ending.waits_always:
                    continue
                if below is None or child.is_still(below):
                    self._terminate_tree(
                        child.instance_id,
                        PARENT_ENDED,
                        ending,
                        is_new=True,
                        is_other=partial(self._was_before, child),
                    )
            except InstanceFinishedError:
                continue
            except OstinatoError as error:
                first = first or error
        if first is not None:
            raise first

    def _was_before(self, child: Child) -> bool:
        """Whether the instance that is found has had the child's id before it."""
        below = self._api.find(child.instance_id, BRIEF)
        return below is not None and child.was_before(below)

    def suspend(self, instance_id: str, reason: str = "") -> None:
        """See `Client.suspend`; it has taken effect, unless the app is down."""
        why = reason_text(reason)
        if self.runtime_status(instance_id) is not RuntimeStatus.SUSPENDED:
            self._api.steer(instance_id, "suspend", why)
            self.await_status(instance_id, _holds, _TAKES_EFFECT_IN)

    def resume(self, instance_id: str, reason: str = "") -> None:
        """See `Client.resume`; it has taken effect, unless the app is down."""
        why = reason_text(reason)
        if _holds(self.runtime_status(instance_id)):
            self._api.steer(instance_id, "resume", why)
            self.await_status(
                instance_id, lambda s: s is not RuntimeStatus.SUSPENDED, _TAKES_EFFECT_IN
            )

    def rewind(self, instance_id: str, reason: str = "") -> None:
        """See `Client.rewind`.

        Raises:
            NotRewindableError: The instance has not failed; or it, or a child that failed with
                it, handled failures, which Azure's rewind would take out of its history too, or
                ended children, which it would not bring back; or a child with which it failed
                is gone or was terminated.
        """
        why = reason_text(reason)
        found = self._api.get(instance_id, EVENTS)
        if found["runtimeStatus"] != "Failed":
            raise NotRewindableError(
                f"instance {instance_id!r} is {found['runtimeStatus']}; "
                "only a failed one is rewound"
            )
        self._refuse_lossy(instance_id, found)
        self._api.steer(instance_id, "rewind", why)

    def _refuse_lossy(self, asked_for: str, found: dict[str, Any]) -> None:
        """Refuse to rewind an instance that would not go on as it was, or whose children would
        not."""
        whose = found["instanceId"]
        who = "it" if whose == asked_for else f"its child {whose!r}"
        if has_handled_failures(found):
            raise NotRewindableError(
                f"instance {asked_for!r} cannot be rewound: {who} handled failures before it "
                "failed, retried one or went on after one, or its end ended children that still "
                "ran, and Azure's rewind would not bring that back as it was; "
                f"restart {asked_for!r} instead"
            )
        for child in failed_children_of(found):
            below = self._api.find(child, EVENTS)
            if below is None or below["runtimeStatus"] != "Failed":
                how = "is gone" if below is None else f"is {below['runtimeStatus']}"
                raise NotRewindableError(
                    f"instance {asked_for!r} cannot be rewound: {who} failed with its child "
                    f"{child!r}, which {how}, and Azure rewinds no other than failed ones; "
                    f"restart {asked_for!r} instead"
                )
            self._refuse_lossy(asked_for, below)

    def restart(self, instance_id: str, *, new_instance_id: bool | str = True) -> str:
        """See `Client.restart`."""
        found = self._api.get(instance_id)
        chosen: object = new_instance_id
        if not isinstance(chosen, bool | str):
            raise TypeError(f"new_instance_id is True, False or an id, not {chosen!r}")
        target = chosen if isinstance(chosen, str) else uuid4().hex if chosen else instance_id
        validate_instance_id(target)
        carried = input_of(self._payloads.told(found, keeps_lost=False))
        definition = None if self._registry is None else self._registry.orchestration(found["name"])
        payload = envelope.Envelope(
            ostinato=envelope.VERSION,
            data=carried.data,
            version=None if definition is None else definition.version,
            tags=carried.tags,
        )
        text = self._payloads.sent(payload, found["name"])
        self._api.start(found["name"], target, text, is_ours=chosen is True)
        return target

    # Forgetting

    def purge(self, instance_id: str) -> int:
        """See `Client.purge`; a child is left alone whose id is another instance's by now."""
        forgotten: dict[str, int] = {}
        self._purge(self._api.get(instance_id, EVENTS), forgotten)
        return sum(forgotten.values())

    def _purge(self, found: dict[str, Any], forgotten: dict[str, int]) -> None:
        """Forget an instance, after its children that have ended.

        Args:
            found: The instance, with its history.
            forgotten: Takes by id how many were forgotten; an id in it is not looked at again.

        Raises:
            InstanceExistsError: The instance has not ended, or goes on since.
        """
        _refuse_unfinished(found)
        instance_id = found["instanceId"]
        forgotten[instance_id] = 0
        children = children_of(found)
        for child in children:
            if child.instance_id not in forgotten:
                self._purge_child(child, forgotten)
        # Azure forgets what runs, too, and the children may have taken long.
        now = self._api.find(instance_id, BRIEF) if children else found
        if now is not None:
            _refuse_unfinished(now)
            forgotten[instance_id] = self._api.purge(instance_id)

    def _purge_child(self, child: Child, forgotten: dict[str, int]) -> None:
        below = self._api.find(child.instance_id, EVENTS)
        if below is not None and child.is_still(below):
            with suppress(InstanceExistsError):
                self._purge(below, forgotten)

    def purge_many(self, query: Query) -> int:
        """See `Client.purge_many`; what has gone on or was replaced since it was found stays."""
        count = 0
        finished = [
            (i.instance_id, i.runtime_status, i.created_at)
            for page in pages(self.list_instances, query)
            for i in page.instances
            if i.runtime_status.is_finished
        ]
        for instance_id, status, created_at in finished:
            found = self._api.find(instance_id, EVENTS)
            if found is None or _standing(found) != (status, created_at):
                continue
            forgotten: dict[str, int] = {}
            with suppress(InstanceExistsError):
                self._purge(found, forgotten)
            count += sum(forgotten.values())
        return count


def _standing(found: dict[str, Any]) -> tuple[RuntimeStatus, datetime]:
    """Where an instance stands, and since when it is."""
    created_at = datetime.fromisoformat(found["createdTime"])
    return RuntimeStatus(found["runtimeStatus"]), created_at


def _refuse_unfinished(found: dict[str, Any]) -> None:
    """Raise `InstanceExistsError` unless an instance may be forgotten."""
    if not RuntimeStatus(found["runtimeStatus"]).is_finished:
        raise InstanceExistsError(
            f"instance {found['instanceId']!r} is {found['runtimeStatus']}: it can be forgotten "
            "when it has ended"
        )


def _holds(status: RuntimeStatus) -> bool:
    """Whether nothing moves in an instance until somebody says so."""
    return status is RuntimeStatus.SUSPENDED or status.is_finished


def _query_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""The client of a deployed function app, over the extension's management API.

Azure has no atomic start: whether an id is free is asked before, so of two clients that start
the same id at the same time the second may find the extension's own conflict, which is reported
alike. What a terminated instance leaves open is ended one by one, since Azure ends no children.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from ostinato import arguments
from ostinato.app import App
from ostinato.arguments import as_utc
from ostinato.client import IfExists, InstanceStatus, Page, Query, RuntimeStatus, Start
from ostinato.codec import decode, encode
from ostinato.errors import (
    InstanceExistsError,
    InstanceFinishedError,
    InstanceNotFoundError,
    NotRewindableError,
)
from ostinato.events import Event, Parent
from ostinato.ids import validate_instance_id
from ostinato.replay import PARENT_ENDED
from ostinato.starting import check_start
from ostinato_azure import envelope
from ostinato_azure.client_history import children_of, failure_in, history_of, names_of_failures
from ostinato_azure.webhook import PATH, Answer, Webhook

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 2.0
_WITH_HISTORY = {"showHistory": "true", "showHistoryOutput": "true", "showInput": "true"}


class AzureClient:
    """Starts, watches and steers the instances of a function app; see `ostinato.client.Client`.

    Args:
        url: The app's, e.g. ``https://pipelines.azurewebsites.net``.
        key: The system key of the durabletask extension.
        task_hub: Another hub than the app's own.
        app: The application, where it is at hand: names and inputs are then checked.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        task_hub: str | None = None,
        app: App | None = None,
    ) -> None:
        query = {"code": key, "taskHub": task_hub}
        base = url.rstrip("/")
        base = base if base.endswith(PATH) else base + PATH
        self._webhook = Webhook(base, {name: value for name, value in query.items() if value})
        self._app = app

    @classmethod
    def from_binding(cls, text: str, *, app: App | None = None) -> AzureClient:
        """Return the client inside a function app, from its ``durableClient`` binding's text."""
        client = cls.__new__(cls)
        client._webhook, client._app = Webhook.of_binding(text), app
        return client

    def close(self) -> None:
        """Close the connections."""
        self._webhook.close()

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
        at = start_at
        if isinstance(at, timedelta):
            from datetime import UTC

            at = datetime.now(UTC) + at
        return self._start(
            Start(
                name=name,
                input=input,
                instance_id=instance_id,
                if_exists=if_exists,
                start_at=at,
                tags=tags,
                version=version,
            )
        )

    def start_many(self, starts: Iterable[Start]) -> list[str]:
        """See `Client.start_many`; on Azure one after the other."""
        return [self._start(start) for start in starts]

    def _start(self, start: Start) -> str:
        name, version, text = check_start(None if self._app is None else self._app.registry, start)
        payload = envelope.Envelope(
            ostinato=envelope.VERSION,
            data=msgspec.Raw(text.encode()),
            version=version,
            tags=arguments.tags(start.tags),
            start_at=None if start.start_at is None else as_utc(start.start_at, "start_at"),
        )
        chosen = uuid4().hex if start.instance_id is None else start.instance_id
        validate_instance_id(chosen)
        if start.instance_id is not None and start.if_exists != "replace_finished":
            existing = self._find(chosen)
            if existing is not None and start.if_exists == "attach":
                return chosen
            if existing is not None:
                raise _exists(chosen)
        return self._post(name, chosen, envelope.written(payload), start.if_exists)

    def _post(self, name: str, instance_id: str, payload: str, if_exists: IfExists) -> str:
        answer = self._webhook.request(
            "POST",
            "orchestrators",
            name,
            instance_id,
            body=envelope.doubled(payload),
            allowed=(202, 409),
        )
        if answer.status == 409 and if_exists != "attach":
            raise _exists(instance_id)
        return instance_id

    def start_payload(self, name: str, instance_id: str, payload: str) -> None:
        """Start an instance with a payload as it is, or leave the one that exists alone."""
        if self._find(instance_id) is None:
            self._post(name, instance_id, payload, "attach")

    # Watching

    def get_status(self, instance_id: str) -> InstanceStatus:
        """See `Client.get_status`."""
        found = self._known(instance_id)
        if found["runtimeStatus"] == "Failed":
            found = self._known(instance_id, _WITH_HISTORY)
        return _status(found)

    def wait(self, instance_id: str, timeout: float | None = None) -> InstanceStatus:
        """See `Client.wait`; the instance is asked for again and again, ever less often."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while True:
            status = self.get_status(instance_id)
            if status.runtime_status.is_finished:
                return status
            left = pause if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(
                    f"instance {instance_id!r} has not ended within {timeout} s; "
                    f"it is {status.runtime_status.value} and goes on"
                )
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def list_instances(self, query: Query = Query()) -> Page:
        """See `Client.list_instances`; tags are looked at here, so a page may hold fewer."""
        conditions = {"top": str(query.page_size), "showInput": "true"}
        if query.statuses:
            conditions["runtimeStatus"] = ",".join(query.statuses)
        if query.created_from is not None:
            conditions["createdTimeFrom"] = _query_time(query.created_from)
        if query.created_to is not None:
            conditions["createdTimeTo"] = _query_time(query.created_to)
        if query.prefix:
            conditions["instanceIdPrefix"] = query.prefix
        token = {} if query.page is None else {"x-ms-continuation-token": query.page}
        answer = self._webhook.request("GET", "instances", query=conditions, headers=token)
        found = [_status(item) for item in answer.json()]
        return Page(
            instances=[s for s in found if query.tags.items() <= s.tags.items()],
            next_page=answer.headers.get("x-ms-continuation-token") or None,
        )

    def get_history(self, instance_id: str) -> Sequence[Event]:
        """See `Client.get_history`; the API leaves out task ids and turns, so these are made up.

        For replaying, the extension's request to the function is a whole history.
        """
        return history_of(self._known(instance_id, _WITH_HISTORY))

    # Steering

    def raise_event(
        self, instance_id: str, name: str, data: Any = None, *, event_id: str | None = None
    ) -> None:
        """See `Client.raise_event`."""
        limit = None if self._app is None else self._app.registry.payload_limit
        arguments.text(name, "name of an event")
        text = encode(data, f"data of event {name!r}", limit)
        self.send_payload(instance_id, name, text, arguments.optional_text(event_id, "event_id"))

    def send_payload(self, instance_id: str, name: str, data: str, event_id: str | None) -> None:
        """Raise an event whose data is JSON text."""
        payload = msgspec.structs.replace(envelope.plain(data), event_id=event_id)
        body = envelope.doubled(envelope.written(payload))
        answer = self._webhook.request(
            "POST",
            "instances",
            instance_id,
            "raiseEvent",
            name,
            body=body,
            allowed=(200, 202, 404, 410),
        )
        _refuse(answer, instance_id)

    def terminate(self, instance_id: str, reason: str = "", *, cascade: bool = True) -> None:
        """See `Client.terminate`."""
        why = arguments.note(reason, "reason")
        children = children_of(self._known(instance_id, _WITH_HISTORY)) if cascade else []
        self._steer(instance_id, "terminate", why)
        for child in children:
            if self._find(child) is not None:
                try:
                    self.terminate(child, PARENT_ENDED)
                except InstanceFinishedError:
                    continue

    def suspend(self, instance_id: str, reason: str = "") -> None:
        """See `Client.suspend`."""
        why = arguments.note(reason, "reason")
        if self._known(instance_id)["runtimeStatus"] != "Suspended":
            self._steer(instance_id, "suspend", why)

    def resume(self, instance_id: str, reason: str = "") -> None:
        """See `Client.resume`."""
        why = arguments.note(reason, "reason")
        status = RuntimeStatus(self._known(instance_id)["runtimeStatus"])
        if status is RuntimeStatus.SUSPENDED or status.is_finished:
            self._steer(instance_id, "resume", why)

    def rewind(self, instance_id: str, reason: str = "") -> None:
        """See `Client.rewind`.

        Raises:
            NotRewindableError: The instance has not failed; or it handled failures, which Azure's
                rewind would take out of its history too.
        """
        why = arguments.note(reason, "reason")
        found = self._known(instance_id, _WITH_HISTORY)
        if found["runtimeStatus"] != "Failed":
            raise NotRewindableError(
                f"instance {instance_id!r} is {found['runtimeStatus']}; "
                "only failed instances can be rewound"
            )
        if len(names_of_failures(found)) > 1:
            raise NotRewindableError(
                f"instance {instance_id!r} handled failures before it failed, and Azure's rewind "
                "would run those again as well: restart it instead"
            )
        self._steer(instance_id, "rewind", why)

    def restart(self, instance_id: str, *, new_instance_id: bool | str = True) -> str:
        """See `Client.restart`."""
        found = self._known(instance_id)
        chosen: object = new_instance_id
        if not isinstance(chosen, bool | str):
            raise TypeError(f"new_instance_id is True, False or an id, not {chosen!r}")
        target = chosen if isinstance(chosen, str) else uuid4().hex if chosen else instance_id
        validate_instance_id(target)
        carried = _input(found)
        definition = None if self._app is None else self._app.registry.orchestration(found["name"])
        payload = envelope.Envelope(
            ostinato=envelope.VERSION,
            data=carried.data,
            version=carried.version if definition is None else definition.version,
            tags=carried.tags,
        )
        return self._post(found["name"], target, envelope.written(payload), "replace_finished")

    def purge(self, instance_id: str) -> int:
        """See `Client.purge`."""
        found = self._known(instance_id, _WITH_HISTORY)
        if not RuntimeStatus(found["runtimeStatus"]).is_finished:
            raise InstanceExistsError(
                f"instance {instance_id!r} is {found['runtimeStatus']}: it can be forgotten when "
                "it has ended"
            )
        return self._purge(found)

    def _purge(self, found: dict[str, Any]) -> int:
        count = 0
        for child in children_of(found, finished=True):
            below = self._find(child, _WITH_HISTORY)
            if below is not None and RuntimeStatus(below["runtimeStatus"]).is_finished:
                count += self._purge(below)
        answer = self._webhook.request(
            "DELETE", "instances", found["instanceId"], allowed=(200, 404)
        )
        return count + (answer.json()["instancesDeleted"] if answer.status == 200 else 0)

    def purge_many(self, query: Query) -> int:
        """See `Client.purge_many`."""
        count, page = 0, None
        finished: list[str] = []
        while True:
            listed = self.list_instances(msgspec.structs.replace(query, page=page))
            finished += [i.instance_id for i in listed.instances if i.runtime_status.is_finished]
            page = listed.next_page
            if page is None:
                break
        for instance_id in finished:
            found = self._find(instance_id, _WITH_HISTORY)
            count += 0 if found is None else self._purge(found)
        return count

    def _steer(self, instance_id: str, verb: str, reason: str) -> None:
        answer = self._webhook.request(
            "POST",
            "instances",
            instance_id,
            verb,
            query={"reason": reason},
            allowed=(200, 202, 404, 410),
        )
        _refuse(answer, instance_id)

    def _find(
        self, instance_id: str, query: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        answer = self._webhook.request(
            "GET", "instances", instance_id, query=query, allowed=(200, 202, 404, 500)
        )
        return None if answer.status == 404 else answer.json()

    def _known(self, instance_id: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        found = self._find(instance_id, query)
        if found is None:
            raise _not_found(instance_id)
        return found


def _status(found: dict[str, Any]) -> InstanceStatus:
    """An instance as the API tells of it."""
    status = RuntimeStatus(found["runtimeStatus"])
    carried = _input(found)
    parent = found.get("parentInstanceId")
    failed = status is RuntimeStatus.FAILED
    return InstanceStatus(
        instance_id=found["instanceId"],
        execution_id="",
        name=found["name"],
        version=carried.version or None,
        runtime_status=status,
        created_at=datetime.fromisoformat(found["createdTime"]),
        updated_at=datetime.fromisoformat(found["lastUpdatedTime"]),
        input=decode(carried.text),
        output=None if failed else _output(found.get("output")),
        custom_status=found.get("customStatus"),
        failure=failure_in(found) if failed else None,
        tags=carried.tags or {},
        parent=None if not parent else Parent(parent, "", -1),
    )


def _input(found: dict[str, Any]) -> envelope.Envelope:
    return envelope.read(msgspec.json.encode(found.get("input")).decode())


def _output(value: Any) -> Any:
    """An output, out of its envelope where it is in one."""
    return decode(envelope.read_exact(msgspec.json.encode(value).decode()).text)


def _query_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _refuse(answer: Answer, instance_id: str) -> None:
    if answer.status == 404:
        raise _not_found(instance_id)
    if answer.status == 410:
        raise InstanceFinishedError(f"instance {instance_id!r} has ended")


def _not_found(instance_id: str) -> InstanceNotFoundError:
    return InstanceNotFoundError(f"there is no instance {instance_id!r}")


def _exists(instance_id: str) -> InstanceExistsError:
    return InstanceExistsError(f"there is an instance {instance_id!r} already")

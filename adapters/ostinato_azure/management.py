"""The requests of the management API, and what its answers mean as errors of every host's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast
from urllib.parse import quote

from ostinato import arguments
from ostinato.errors import (
    InstanceExistsError,
    InstanceFinishedError,
    InstanceNotFoundError,
    PayloadTooLargeError,
)
from ostinato_azure.webhook import Answer, AzureError, Webhook

BRIEF = {"showInput": "false"}
"""Asks for an instance without its input."""

EVENTS = {"showHistory": "true", "showInput": "false"}
"""Asks for an instance with its history, and no payload but the output."""

WHOLE = {"showHistory": "true", "showHistoryOutput": "true", "showInput": "true"}
"""Asks for everything."""

_TOKEN = "x-ms-continuation-token"

_LONGEST_REASON = 6_000
"""Bytes of a reason in a URL: Kestrel takes 8,192 for the line that begins a request."""


class Management:
    """What can be asked of a function app's instances; each verb is one request.

    All verbs raise `AzureError` where the app does not answer as it should.

    Args:
        webhook: Where to ask; it is this object's to close.
    """

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    def __repr__(self) -> str:
        return f"Management({self._webhook!r})"

    def close(self) -> None:
        """Close the connections."""
        self._webhook.close()

    def start(self, name: str, instance_id: str, payload: str, *, is_ours: bool) -> None:
        """Start an instance; a finished one of this id is replaced.

        Args:
            name: The orchestration.
            instance_id: The new instance's.
            payload: Its input.
            is_ours: Whether an instance of this id is what is wanted, whoever started it: the id
                is new, so that only an earlier try of this request has; or any will do. Where the
                answer got lost, the start is then made again, unless the instance is there: it
                may have ended since, and would be replaced.

        Raises:
            InstanceExistsError: An unfinished instance has the id, and is not ours.
        """
        try:
            answer = self._webhook.request(
                "POST",
                "orchestrators",
                name,
                instance_id,
                body=payload,
                allowed=(202, 409),
                repeatable=is_ours,
                instead=lambda: self._started(instance_id),
            )
        except AzureError as error:
            if not error.may_have_happened:
                raise
            told = f"{error}, as instance {instance_id!r}"
            raise type(error)(told, may_have_happened=True) from None
        if answer.status == 409 and not is_ours:
            raise exists(instance_id, "not finished")

    def _started(self, instance_id: str) -> Answer | None:
        """What tells that a start whose answer got lost was taken; None where it was not."""
        try:
            answer = self._webhook.request(
                "GET", "instances", instance_id, query=BRIEF, allowed=(200, 202, 404)
            )
        except AzureError as error:
            raise type(error)(
                f"{error}; what was asked for before may have happened", may_have_happened=True
            ) from None
        return None if answer.status == 404 else answer

    def find(
        self,
        instance_id: str,
        query: Mapping[str, str] | None = None,
        *,
        within: float | None = None,
    ) -> dict[str, Any] | None:
        """Return what the API tells of an instance; None where there is none.

        Args:
            instance_id: Whose.
            query: What is to be told.
            within: Seconds for the answer; see `Webhook.request`.
        """
        answer = self._webhook.request(
            "GET",
            "instances",
            instance_id,
            query=query,
            allowed=(200, 202, 404, 500),
            within=within,
        )
        if answer.status == 404:
            return None
        found = answer.json()
        if not (isinstance(found, dict) and "runtimeStatus" in found):
            raise _at_fault(answer)
        return cast("dict[str, Any]", found)

    def get(
        self,
        instance_id: str,
        query: Mapping[str, str] | None = None,
        *,
        within: float | None = None,
    ) -> dict[str, Any]:
        """As `find`.

        Raises:
            InstanceNotFoundError: There is none.
        """
        found = self.find(instance_id, query, within=within)
        if found is None:
            raise _not_found(instance_id)
        return found

    def page(
        self, conditions: Mapping[str, str], token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of instances, and the token of the next one if there is any."""
        headers = {} if token is None else {_TOKEN: token}
        answer = self._webhook.request("GET", "instances", query=conditions, headers=headers)
        return answer.json(), answer.headers.get(_TOKEN) or None

    def raise_event(
        self, instance_id: str, name: str, payload: str, *, is_taken_once: bool
    ) -> None:
        """Raise an event.

        Args:
            instance_id: Whose event it is.
            name: The event's.
            payload: Its data.
            is_taken_once: Whether it may be sent twice.

        Raises:
            InstanceNotFoundError, InstanceFinishedError: Nobody can take it.
        """
        answer = self._webhook.request(
            "POST",
            "instances",
            instance_id,
            "raiseEvent",
            name,
            body=payload,
            allowed=(200, 202, 404, 410),
            repeatable=is_taken_once,
        )
        _refuse(answer, instance_id)

    def steer(
        self,
        instance_id: str,
        verb: Literal["terminate", "suspend", "resume", "rewind"],
        reason: str,
    ) -> None:
        """Terminate, suspend, resume or rewind an instance.

        Raises:
            InstanceNotFoundError, InstanceFinishedError: There is nothing to steer.
        """
        answer = self._webhook.request(
            "POST",
            "instances",
            instance_id,
            verb,
            query={"reason": reason},
            allowed=(200, 202, 404, 410, 500),
            repeatable=verb != "rewind",
        )
        if answer.is_repeat and answer.status == 410:
            return
        if answer.is_repeat and answer.status == 500 and verb in ("suspend", "resume"):
            return  # so it answers where that has taken effect
        if answer.status == 500:
            raise _at_fault(answer)
        _refuse(answer, instance_id)

    def purge(self, instance_id: str) -> int:
        """Forget an instance, whatever its state; return how many were forgotten."""
        answer = self._webhook.request("DELETE", "instances", instance_id, allowed=(200, 404))
        if answer.status == 404:
            return int(answer.is_repeat)
        return int(answer.json()["instancesDeleted"])


def reason_text(reason: Any) -> str:
    """Return a reason that can be sent.

    Raises:
        TypeError: It is no str.
        ValueError: It has lone surrogates.
        PayloadTooLargeError: It is longer than a URL can be. It is not cut: what the history has
            would look like the whole of it, and the rest would be lost.
    """
    text = arguments.note(reason, "reason")
    size = len(quote(text, safe=""))
    if size > _LONGEST_REASON:
        raise PayloadTooLargeError(
            f"the reason is {size:,} bytes long as part of a URL, by which a function app is told "
            f"of it; {_LONGEST_REASON:,} are the most. Give a shorter one, e.g. one that names "
            "where the rest is"
        )
    return text


def exists(instance_id: str, status: str) -> InstanceExistsError:
    """The error for an id that is taken."""
    return InstanceExistsError(
        f"instance {instance_id!r} exists already and is {status}; choose another id, or start it "
        "with if_exists='attach' or, once it has ended, 'replace_finished'"
    )


def _at_fault(answer: Answer) -> AzureError:
    return AzureError(f"the app answered {answer.status}: {answer.shown}")


def _refuse(answer: Answer, instance_id: str) -> None:
    if answer.status == 404:
        raise _not_found(instance_id)
    if answer.status == 410:
        raise InstanceFinishedError(
            f"instance {instance_id!r} has ended and takes no more messages"
        )


def _not_found(instance_id: str) -> InstanceNotFoundError:
    return InstanceNotFoundError(f"there is no instance {instance_id!r}")

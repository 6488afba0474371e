"""The client's verbs as commands: look at instances, steer them, forget them.

They are the same for a store of this machine, whether or not a process executes it now, and for a
deployed app.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ostinato.cli import printing
from ostinato.cli.inputs import TagOption, confirmed, read_input, read_tags, time_before
from ostinato.cli.listing import LOOKED_AT, newest
from ostinato.cli.mending import mendable
from ostinato.cli.outcome import ExitCode, UsageError
from ostinato.cli.targets import (
    StoreOption,
    TargetName,
    TargetOption,
    UrlOption,
    chosen_target,
    open_target,
)
from ostinato.cli.waiting import shortened, waits_of
from ostinato.client import Client, Query, RuntimeStatus
from ostinato.errors import InstanceExistsError, InstanceNotFoundError
from ostinato.events import events_to_json

verbs = typer.Typer()

MAX_WAITS = 20
"""How many of the things that an instance waits for are shown."""

Instance = Annotated[str, typer.Argument(help="The instance id.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ReasonOption = Annotated[
    str, typer.Option(help="Is kept in the history; Azure does not show that of a rewind.")
]
StatusOption = Annotated[
    list[RuntimeStatus] | None,
    typer.Option("--status", case_sensitive=False, help="May be repeated."),
]
NameOption = Annotated[str, typer.Option(help="The orchestration's.")]
PrefixOption = Annotated[str, typer.Option(help="What the instance id begins with.")]
FromOption = Annotated[datetime | None, typer.Option(help="In UTC.")]
ToOption = Annotated[datetime | None, typer.Option(help="In UTC.")]


@verbs.command("history")
def history_command(
    instance: Instance,
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what an instance did, event by event. It may be running."""
    with _client(target, store, url) as client:
        events = client.get_history(instance)
    if as_json:
        typer.echo(events_to_json(events))
        if target == "azure":
            printing.note(
                "note: this is for people: Azure tells no inputs, ids and turns, by which a history"
                " is replayed (docs/versioning.md)"
            )
    else:
        printing.print_lines(printing.of_history(events, tells_inputs=target == "local"))


@verbs.command("status")
def status_command(
    instance: Instance,
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
    app: Annotated[
        str | None,
        typer.Option(
            help="local: module:attribute, by default the folder's own; tells which events it"
            " waits for."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print where an instance stands and, until it has ended, what it waits for."""
    with _client(target, store, url) as client:
        if app is not None and target != "local":
            raise UsageError("--app goes with --target local")
        status = client.get_status(instance)
        waits = waits_of(chosen_target(target, store, url), client, status, app)
    if as_json:
        printing.print_json({**msgspec.to_builtins(status), "waits_for": waits})
    else:
        printing.print_lines(printing.of_one(status, shortened(waits, MAX_WAITS)))


@verbs.command("list")
def list_command(
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
    status: StatusOption = None,
    name: NameOption = "",
    prefix: PrefixOption = "",
    tag: TagOption = None,
    created_from: FromOption = None,
    created_to: ToOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Print the instances, the newest first."""
    with _client(target, store, url) as client:
        query = _query(status, name, prefix, tag, created_from, created_to)
        listing = newest(chosen_target(target, store, url), client, query, limit)
    if as_json:
        printing.print_json(msgspec.to_builtins(listing.found))
    else:
        printing.print_lines(printing.of_many(listing.found, printing.screen_width()))
    if listing.is_cut:
        printing.note(f"there are more: --limit {10 * limit}")
    if listing.is_partial:
        printing.note(
            f"note: Azure lists instances by their ids, and only the first {LOOKED_AT:,} were"
            " looked at: newer ones may be missing. Narrow it by --created-from, --status or"
            " --prefix"
        )


@verbs.command("raise-event")
def raise_event_command(
    instance: Instance,
    name: Annotated[str, typer.Argument(help="The event's.")],
    data: Annotated[str, typer.Option(help="JSON, @file, or - for standard input.")] = "null",
    event_id: Annotated[
        str | None, typer.Option(help="The instance takes an event of one id once.")
    ] = None,
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
) -> None:
    """Send an instance an event."""
    with _accepting(target, store, url) as client:
        client.raise_event(instance, name, read_input(data, "--data"), event_id=event_id)


@verbs.command("suspend")
def suspend_command(
    instance: Instance,
    reason: ReasonOption = "",
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
) -> None:
    """Hold an instance: what comes to it waits until it is resumed."""
    with _accepting(target, store, url) as client:
        client.suspend(instance, reason)


@verbs.command("resume")
def resume_command(
    instance: Instance,
    reason: ReasonOption = "",
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
) -> None:
    """Let a suspended instance go on."""
    with _accepting(target, store, url) as client:
        client.resume(instance, reason)


@verbs.command("terminate")
def terminate_command(
    instance: Instance,
    reason: ReasonOption = "",
    cascade: Annotated[bool, typer.Option(help="End its open children, too.")] = True,
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
) -> None:
    """End an instance; its code gets no say."""
    with _accepting(target, store, url) as client:
        client.terminate(instance, reason, cascade=cascade)


@verbs.command("rewind")
def rewind_command(
    instance: Instance,
    reason: ReasonOption = "",
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
) -> None:
    """Let a failed instance go on: only what failed runs again."""
    with _accepting(target, store, url) as client:
        client.rewind(instance, reason)


@verbs.command("restart")
def restart_command(
    instance: Instance,
    new_id: Annotated[str | None, typer.Option(help="By default one is made.")] = None,
    same_id: Annotated[
        bool, typer.Option("--same-id", help="Replace the instance, which has ended.")
    ] = False,
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
) -> None:
    """Start an orchestration again with the input of an instance; print the new one's id."""
    with _client(target, store, url) as client:
        if new_id is not None and same_id:
            raise UsageError("--new-id and --same-id do not go together")
        chosen = not same_id if new_id is None else new_id
        if new_id is not None:
            _refuse_ended(client, new_id)
        try:
            started = client.restart(instance, new_instance_id=chosen)
        except InstanceExistsError:
            taken = instance if new_id is None else new_id
            other = "leave --same-id out" if new_id is None else "choose another --new-id"
            words = ["ostinato", "terminate", taken, *chosen_target(target, store, url).words]
            raise UsageError(
                f"instance {taken!r} has not ended: {other}, wait for its end, or end it with\n"
                f"  {shlex.join(words)}"
            ) from None
    typer.echo(started)


def _refuse_ended(client: Client, new_id: str) -> None:
    """Refuse to replace an instance by one of a new id, which would be forgotten."""
    with suppress(InstanceNotFoundError):
        status = client.get_status(new_id).runtime_status
        if status.is_finished:
            raise UsageError(
                f"there is an instance {new_id!r} already ({status}): choose another --new-id, or "
                f"forget it first: ostinato purge {new_id}"
            )


@verbs.command("purge")
def purge_command(
    instance: Annotated[str | None, typer.Argument(help="The id of one that has ended.")] = None,
    status: StatusOption = None,
    name: NameOption = "",
    prefix: PrefixOption = "",
    tag: TagOption = None,
    created_from: FromOption = None,
    created_to: ToOption = None,
    older_than: Annotated[
        str | None, typer.Option(help="Created so long ago: 12h, 90d, 8w; in place of created-to.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
) -> None:
    """Forget an instance and its children, or all ended ones that the options name; print how many.

    Exit codes: 0 forgotten, 1 the answer was no, 2 usage.
    """
    with _client(target, store, url) as client:
        if older_than is not None:
            if created_to is not None:
                raise UsageError("--older-than and --created-to do not go together")
            created_to = time_before(datetime.now(UTC), older_than, "--older-than")
        query = _query(status, name, prefix, tag, created_from, created_to)
        if instance is None and query == Query():
            raise UsageError("name an instance, or which ones: --status, --name, --tag, ...")
        if instance is not None and query != Query():
            raise UsageError("an instance and options that name several do not go together")
        if instance is not None:
            count = client.purge(instance)
        else:
            if not (yes or confirmed("Forget every instance that has ended and fits?")):
                raise typer.Exit(ExitCode.FAILED)
            count = client.purge_many(query)
    typer.echo(count)


@contextmanager
def _client(
    target: TargetName, store: Path | None, url: str | None
) -> Generator[Client, None, None]:
    """Open the client that the options name, and tell of what is wrong with its arguments."""
    with mendable():
        try:
            with open_target(chosen_target(target, store, url)) as client:
                yield client
        except ValueError as error:
            raise UsageError(str(error)) from None


@contextmanager
def _accepting(
    target: TargetName, store: Path | None, url: str | None
) -> Generator[Client, None, None]:
    """Open the client for something that takes effect later, and say that it was accepted."""
    with _client(target, store, url) as client:
        yield client
    printing.note("accepted")


def _query(
    status: list[RuntimeStatus] | None,
    name: str,
    prefix: str,
    tags: list[str] | None,
    created_from: datetime | None,
    created_to: datetime | None,
) -> Query:
    return Query(
        status=status or (),
        name=name,
        prefix=prefix,
        tags=read_tags(tags),
        created_from=created_from,
        created_to=created_to,
    )

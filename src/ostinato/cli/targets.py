"""Where instances are: in a store of this machine, or in a deployed function app."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias
from urllib.parse import parse_qsl

import typer

from ostinato.app import App
from ostinato.cli.mending import needing
from ostinato.cli.outcome import UsageError
from ostinato.cli.printing import note
from ostinato.client import Client, Query
from ostinato.errors import InstanceNotFoundError

if TYPE_CHECKING:
    from ostinato.local import RemoteHub
    from ostinato_azure.client import AzureClient

URL_VARIABLE = "OSTINATO_AZURE_URL"
"""The environment variable with the URL of the function app, where no option gives one."""

DEFAULT_STORE = Path("ostinato.db")

_OF_EXTRA = {"azure", "httpx", "ostinato_azure"}
"""What the client of a function app needs that `ostinato` alone does not bring."""

_WHERE_IT_IS = (
    "hint: the URL of a function app is like https://<name>.azurewebsites.net "
    f"(--url or {URL_VARIABLE})"
)
_WHERE_THE_KEY_IS = (
    "hint: az functionapp keys list --name <app> --resource-group <group> "
    "--query systemKeys.durabletask_extension --output tsv"
)

TargetName: TypeAlias = Literal["local", "azure"]

TargetOption = Annotated[
    TargetName, typer.Option(help="Where: a store of this machine, or a deployed function app.")
]
StoreOption = Annotated[
    Path | None,
    typer.Option(help="local: the SQLite file that keeps everything.", show_default="ostinato.db"),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        help=f"azure: the function app's URL, else {URL_VARIABLE} has it. Its key is in"
        " OSTINATO_AZURE_KEY."
    ),
]


@dataclass(frozen=True, slots=True)
class LocalTarget:
    """A store of this machine."""

    store: Path

    def __str__(self) -> str:
        return str(self.store)

    @property
    def words(self) -> list[str]:
        """The options that name it."""
        return [] if self.store == DEFAULT_STORE else ["--store", str(self.store)]


@dataclass(frozen=True, slots=True)
class AzureTarget:
    """A deployed function app. The key is in the environment, and never here."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def words(self) -> list[str]:
        """The options that name it."""
        return ["--target", "azure", "--url", self.url]


Target: TypeAlias = LocalTarget | AzureTarget


def chosen_target(kind: TargetName, store: Path | None, url: str | None) -> Target:
    """Return the target that the options name.

    Raises:
        UsageError: They do not go together, or the URL is missing or has the key in it.
    """
    if kind == "local":
        if url is not None:
            raise UsageError("--url goes with --target azure")
        return LocalTarget(store or DEFAULT_STORE)
    if store is not None:
        raise UsageError("--store goes with --target local: a function app keeps its own state")
    given = url or os.environ.get(URL_VARIABLE)
    if not given:
        raise UsageError(f"--target azure needs the app's URL\n{_WHERE_IT_IS}")
    if any(name.lower() == "code" for name, _ in parse_qsl(given.partition("?")[2])):
        raise UsageError(
            "the URL has the key in it (code=...), where it gets into histories and lists of "
            "processes: leave it out, and set OSTINATO_AZURE_KEY"
        )
    return AzureTarget(given.strip())


@contextmanager
def open_target(target: Target) -> Generator[Client, None, None]:
    """Open a client of a target.

    Raises:
        UsageError: There is no such target, or it cannot be asked.
    """
    match target:
        case LocalTarget(store):
            try:
                with open_store(store) as hub:
                    yield hub.client
            except (InstanceNotFoundError, UsageError) as error:
                raise UsageError(f"{error}{_perhaps_elsewhere()}") from None
        case AzureTarget(url):
            with open_app(url) as client:
                yield client


def _perhaps_elsewhere() -> str:
    """A hint for who has said where a function app is, and forgets that it has to be asked for."""
    if not os.environ.get(URL_VARIABLE):
        return ""
    return f"\nhint: --target azure asks the function app that {URL_VARIABLE} names"


@contextmanager
def open_store(store: Path, app: App | None = None) -> Generator[RemoteHub, None, None]:
    """Open a store that another process may execute, with the application where it is at hand.

    Raises:
        UsageError: There is none.
    """
    from ostinato.local import connect

    if not store.is_file():
        raise UsageError(f"there is no file {store}")
    with connect(store, app) as hub:
        yield hub


@contextmanager
def open_app(url: str) -> Generator[AzureClient, None, None]:
    """Open the client of a function app, with the key that the environment has.

    Where the environment also has the app's settings of large payloads, it reads those; else the
    user is told, once, and shown the claims that stand in their place.

    Raises:
        UsageError: The URL is none, or the app did not answer as it should.
    """
    with needing("azure", _OF_EXTRA):
        from ostinato_azure.claims import app_claims
        from ostinato_azure.client import AzureClient
        from ostinato_azure.client_payloads import UnclaimedError
        from ostinato_azure.webhook import NoAccessError, UnavailableError

        told: set[str] = set()

        def tell(missing: UnclaimedError) -> None:
            if str(missing) not in told:
                told.add(str(missing))
                note(f"note: {missing}")

        try:
            client = AzureClient(url, claims=app_claims(), unclaimed=tell)
        except ValueError as error:
            raise UsageError(str(error)) from None
    try:
        try:
            yield client
        except InstanceNotFoundError:
            client.list_instances(Query(page_size=1))  # raises where no management API is there
            raise
    except NoAccessError as error:
        raise UsageError(f"{error}\n{_WHERE_THE_KEY_IS}") from None
    except UnavailableError as error:
        raise UsageError(f"{error}\n{_WHERE_IT_IS}") from None
    finally:
        client.close()

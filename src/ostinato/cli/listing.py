"""The newest of many instances, whatever the order in which the target lists them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec

from ostinato.cli.targets import AzureTarget, Target
from ostinato.client import Client, InstanceStatus, Query, pages

LOOKED_AT = 10_000
"""How many instances of a function app are looked at, which lists them by id."""

PAGE = 500
"""Instances a page, where all pages are read."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Some of the instances that a query finds."""

    found: list[InstanceStatus]
    """The newest first."""
    is_cut: bool
    """Whether others were found that are older."""
    is_partial: bool = False
    """Whether there are others that were not looked at, and may be newer."""


def newest(target: Target, client: Client, query: Query, limit: int) -> Listing:
    """Return the newest instances of a target, at most ``limit`` of them."""
    if isinstance(target, AzureTarget):
        return _newest_of_all(client, query, limit)
    return _first(client, query, limit)


def _first(client: Client, query: Query, limit: int) -> Listing:
    """The first of those that are listed newest first."""
    size = min(limit, query.page_size)
    found: list[InstanceStatus] = []
    for page in pages(client.list_instances, msgspec.structs.replace(query, page_size=size)):
        found += page.instances
        if len(found) >= limit:
            is_cut = page.next_page is not None or len(found) > limit
            return Listing(found[:limit], is_cut)
    return Listing(found, is_cut=False)


def _newest_of_all(client: Client, query: Query, limit: int) -> Listing:
    """The newest of those that are listed in any order; no more than these are kept meanwhile."""
    is_partial = False

    def all_of_them() -> Iterator[InstanceStatus]:
        nonlocal is_partial
        every = pages(client.list_instances, msgspec.structs.replace(query, page_size=PAGE))
        for page in islice(every, LOOKED_AT // PAGE):
            is_partial = page.next_page is not None
            yield from page.instances

    found = heapq.nlargest(limit + 1, all_of_them(), key=lambda status: status.created_at)
    return Listing(found[:limit], len(found) > limit, is_partial)

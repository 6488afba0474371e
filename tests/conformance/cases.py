"""All cases, in reading order."""

from __future__ import annotations

from collections.abc import Iterator

import ostinato as ost

from . import (
    cases_activities,
    cases_changes,
    cases_children,
    cases_combining,
    cases_events,
    cases_generations,
    cases_http,
    cases_orchestrators,
    cases_payloads,
    cases_retries,
    cases_sending,
    cases_status,
    cases_steering,
    cases_timers,
)
from .app import case
from .model import Case, Deploy

MODULES = (
    cases_activities,
    cases_retries,
    cases_combining,
    cases_timers,
    cases_events,
    cases_children,
    cases_generations,
    cases_sending,
    cases_status,
    cases_payloads,
    cases_orchestrators,
    cases_steering,
    cases_changes,
    cases_http,
)
CASES: tuple[Case, ...] = (*case, *cases_payloads.small_case)


def _apps(case: Case) -> Iterator[ost.App]:
    yield case.app
    for step in case.script:
        if isinstance(step, Deploy):
            yield step.app


APPS: tuple[ost.App, ...] = tuple(dict.fromkeys(app for one in CASES for app in _apps(one)))
"""Every application of a case; its place is the same in each process."""

"""The application that the suite runs, and the activities that many cases share."""

from __future__ import annotations

import asyncio
from typing import Any

import ostinato as ost

from . import world
from .model import Cases

app = ost.App("conformance")
case = Cases(app)


class InsufficientFunds(Exception):
    """Declared: raised again as itself. Its first argument is required."""

    def __init__(self, needed: int, *, account: str) -> None:
        super().__init__(f"{account} lacks {needed}")


@app.activity
def add_one(number: int) -> int:
    return number + 1


@app.activity
def echo(value: Any) -> Any:
    return value


@app.activity
def greet() -> str:
    return "hello"


@app.activity
async def add_one_later(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


@app.activity
def note(key: str) -> int:
    """How often this key has been noted."""
    return world.note(key)


@app.activity
def refuse(message: str) -> None:
    raise ValueError(message)


@app.activity
def attempt(succeeds_at: int, context: ost.ActivityContext) -> int:
    """Fail until the given attempt, then tell which one it was."""
    if context.attempt < succeeds_at:
        raise ConnectionError(f"attempt {context.attempt} of {succeeds_at}")
    return context.attempt


@app.activity
def mendable(gate: str) -> str:
    """Fail until the gate is opened; every run is noted."""
    world.note(gate)
    if not world.is_open(gate):
        raise RuntimeError(f"{gate} is broken")
    return gate


@app.activity
def held(gate: str) -> str:
    """Note the gate, then run until it is opened."""
    world.note(gate)
    world.await_open(gate)
    return gate


@app.activity
def room_url() -> str:
    return world.here()

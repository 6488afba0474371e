"""What every client checks of a start."""

from __future__ import annotations

import pytest

import ostinato as ost
from ostinato.client import Start
from ostinato.starting import check_start

app = ost.App("starting")


@app.orchestration(version="1")
@app.orchestration(version="2")
def flow(ctx: ost.OrchestrationContext, number: int):
    return number
    yield


def test_a_start_takes_the_version_registered_last():
    assert check_start(app.registry, Start(name=flow, input=1)) == ("flow", "1", "1")
    assert check_start(app.registry, Start(name="flow", input=1, version="2"))[1] == "2"


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        (Start(name="flaw"), ost.UnknownNameError, "'flaw' is not in the application; it has"),
        (Start(name="flow", version="3"), ost.UnknownNameError, "no version '3'; it has '2', '1'"),
        (Start(name="flow", input="x"), ost.CodecError, "input of orchestration 'flow'"),
        (Start(name="flow", input=1, if_exists="ignore"), ValueError, "not 'ignore'"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
)
def test_what_cannot_start_is_named(start: Start, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        check_start(app.registry, start)


def test_without_the_application_types_alone_are_checked():
    assert check_start(None, Start(name="any", input=[1])) == ("any", None, "[1]")
    with pytest.raises(ost.CodecError):
        check_start(None, Start(name="any", input=float("nan")))

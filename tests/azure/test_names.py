"""Names of functions in the app: what Azure allows, and never the same twice."""

from __future__ import annotations

import pytest

from ostinato_azure.names import function_name


@pytest.mark.parametrize(
    ("wanted", "taken", "name"),
    [
        ("ingest", [], "ingest"),
        ("ostinato.http", [], "ostinato_http"),
        ("1st", [], "f_1st"),
        ("größe", [], "gr_e"),
        ("…", [], "function"),
        ("Ingest", ["ingest"], "Ingest_2"),
        ("x" * 200, ["x" * 127], "x" * 125 + "_2"),
    ],
)
def test_the_name_is_one_that_azure_allows(wanted: str, taken: list[str], name: str) -> None:
    assert function_name(wanted, taken) == name

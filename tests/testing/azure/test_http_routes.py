"""Routes of HTTP triggers."""

from __future__ import annotations

import pytest

from ostinato.testing.azure.http_routes import Routes
from ostinato.testing.azure.worker import Function


def routes(*described, prefix="api"):
    functions = []
    for index, (route, *methods) in enumerate(described):
        trigger = {"type": "httpTrigger", "name": "req", "route": route}
        if methods:
            trigger["methods"] = methods
        functions.append(Function(f"f{index}", (trigger,)))
    return Routes(functions, prefix)


def find(routes, path, method="GET"):
    found = routes.find(method, path)
    return found and (found.function.name, found.params)


@pytest.mark.parametrize(
    ("route", "path", "params"),
    [
        ("items/{id}", "/api/items/7", {"id": "7"}),
        ("items/{id}", "/API/Items/7/", {"id": "7"}),
        ("items/{id}", "/api/items/a%2Fb", {"id": "a/b"}),
        ("items/{id}", "/api/items", None),
        ("items/{id}", "/api/items/7/8", None),
        ("items/{id:int}", "/api/items/x", None),
        ("items/{id:int:min(1)}", "/api/items/12", {"id": "12"}),
        ("items/{id?}", "/api/items", {}),
        ("items/{id=5}", "/api/items", {"id": "5"}),
        ("items/{id}.csv", "/api/items/a.csv", {"id": "a"}),
        ("{*rest}", "/api/a/b", {"rest": "a/b"}),
        ("{*rest}", "/api", {}),
        (None, "/api/f0", {}),
    ],
)
def test_a_path_fits_a_route_or_does_not(route, path, params):
    found = find(routes((route,)), path)
    assert found == (None if params is None else ("f0", params))


def test_the_prefix_is_the_hosts_and_may_be_none():
    assert find(routes(("a",), prefix=""), "/a") == ("f0", {})
    assert find(routes(("a",), prefix="v1/x"), "/v1/x/a") == ("f0", {})


def test_methods_tell_functions_of_the_same_route_apart():
    both = routes(("a", "GET"), ("a", "POST", "PUT"))
    assert find(both, "/api/a", "GET") == ("f0", {})
    assert find(both, "/api/a", "PUT") == ("f1", {})
    assert find(both, "/api/a", "DELETE") is None


def test_the_most_literal_route_is_taken_whatever_their_order():
    several = routes(("{*rest}",), ("a/{x}",), ("a/{x:int}",), ("a/b",))
    assert find(several, "/api/a/b") == ("f3", {})
    assert find(several, "/api/a/1") == ("f2", {"x": "1"})
    assert find(several, "/api/a/c") == ("f1", {"x": "c"})
    assert find(several, "/api/z") == ("f0", {"rest": "z"})

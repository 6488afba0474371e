"""Reads ARM templates as Azure Resource Manager does: expressions in brackets are evaluated.

Knows the functions that our templates call. What only a deployment can tell is made up, always
the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

GROUP = "/subscriptions/0000/resourceGroups/group"

TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(\d+)|([A-Za-z]\w*)|(.))")


def deployed(template: dict[str, Any], given: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the template's resources, by id, and outputs with all expressions evaluated."""
    evaluator = Evaluator(template, given or {})
    resources = [r for r in evaluator.value(template["resources"]) if r.pop("condition", True)]
    return {
        "resources": {identify(r["type"], r["name"]): r for r in resources},
        "outputs": evaluator.value(template["outputs"]),
    }


def identify(kind: str, name: str) -> str:
    """Return the id of a resource of the group."""
    provider, *segments = kind.split("/")
    parts = [part for pair in zip(segments, name.split("/"), strict=True) for part in pair]
    return "/".join([f"{GROUP}/providers", provider, *parts])


def digest(texts: tuple[str, ...]) -> str:
    return hashlib.sha256("/".join(texts).encode()).hexdigest()


class Evaluator:
    def __init__(self, template: dict[str, Any], given: dict[str, Any]) -> None:
        unknown = given.keys() - template["parameters"].keys()
        assert not unknown, f"unknown parameters {unknown}"
        self.template, self.given = template, given

    def value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, str) and value.startswith("[") and not value.startswith("[["):
            assert value.endswith("]"), value
            tokens = [found.groups() for found in TOKEN.finditer(value[1:-1])]
            result = self.expression(tokens)
            assert not tokens, f"left over in {value}: {tokens}"
            return result
        return value

    def expression(self, tokens: list[Any]) -> Any:
        text, number, name, _ = tokens.pop(0)
        if text is not None:
            return text.replace("''", "'")
        if number is not None:
            return int(number)
        self.take(tokens, "(")
        arguments = []
        while not self.take(tokens, ")", must=False):
            arguments.append(self.expression(tokens))
            self.take(tokens, ",", must=False)
        functions: dict[str, Callable[..., Any]] = {
            "parameters": self.parameter,
            "variables": lambda name: self.value(self.template["variables"][name]),
            "empty": lambda value: not value,
            "not": lambda value: not value,
            "null": lambda: None,
            "if": lambda is_so, one, other: one if is_so else other,
            "concat": lambda *texts: "".join(texts),
            "format": lambda pattern, *values: pattern.format(*values),
            "greater": lambda one, other: one > other,
            "toLower": str.lower,
            "replace": str.replace,
            "take": lambda text, count: text[:count],
            "uniqueString": lambda *texts: hashlib.sha256("/".join(texts).encode()).hexdigest()[
                :13
            ],
            "guid": lambda *texts: hashlib.sha256("/".join(texts).encode()).hexdigest()[:32],
            "uriComponent": lambda text: text.replace("=", "%3D"),
            "resourceGroup": lambda: {"id": GROUP, "location": "westeurope"},
            "resourceId": lambda kind, *names: identify(kind, "/".join(names)),
            "subscriptionResourceId": lambda kind, name: f"/subscriptions/0000/{kind}/{name}",
            "createObject": lambda *kv: dict(zip(kv[::2], kv[1::2], strict=True)),
            "union": lambda *objects: {k: v for each in objects for k, v in each.items()},
            "reference": Reference,
            "listKeys": lambda id, version: {"systemKeys": {"blobs_extension": "the-key=="}},
        }
        result = functions[name](*arguments)
        while self.take(tokens, ".", must=False):
            result = result[tokens.pop(0)[2]]
        return result

    @staticmethod
    def take(tokens: list[Any], mark: str, *, must: bool = True) -> bool:
        if tokens and tokens[0][3] == mark:
            tokens.pop(0)
            return True
        assert not must, f"expected {mark} before {tokens}"
        return False

    def parameter(self, name: str) -> Any:
        declared = self.template["parameters"][name]
        value: Any = self.given.get(name, self.value(declared.get("defaultValue")))
        kinds: dict[str, Any] = {
            "string": str,
            "int": int,
            "bool": bool,
            "array": list,
            "object": dict,
            "secureObject": dict,
        }
        assert isinstance(value, kinds[declared["type"]]), (name, value)
        assert value in declared.get("allowedValues", [value])
        size = value if isinstance(value, int) else len(value)
        assert size >= declared.get("minLength", declared.get("minValue", size)), (name, value)
        assert size <= declared.get("maxLength", declared.get("maxValue", size)), (name, value)
        return value


class Reference:
    """What a resource tells once it is there."""

    def __init__(self, id: str, version: str, full: str = "") -> None:
        self.id, self.is_full = id, full == "full"

    def __getitem__(self, name: str) -> Any:
        facts: dict[str, Any] = {
            "ConnectionString": "InstrumentationKey=0;IngestionEndpoint=https://in.example/",
            "defaultHostName": f"{self.id.rsplit('/', 1)[-1]}.azurewebsites.net",
            "identity": {"principalId": "1111"},
            "primaryEndpoints": {"blob": f"https://{self.id.rsplit('/', 1)[-1]}.blob.example/"},
        }
        assert (name == "identity") == self.is_full, "only the full form has what is no property"
        return facts[name]

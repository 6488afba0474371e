"""Tokens, from a stand-in of App Service's identities, by azure-identity itself."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

import ostinato as ost
from ostinato.tokens import _credential, resource_of, token_for
from tests.identities import Identities


@pytest.mark.parametrize("given", ["https://graph.example", "https://graph.example/.default"])
def test_a_token_is_for_the_resource_whichever_way_it_is_named(identities: Identities, given: str):
    assert token_for(given).count(".") == 2
    assert [asked["resource"] for asked in identities.asked] == ["https://graph.example"]


def test_a_resource_keeps_the_slash_that_its_name_has(identities: Identities):
    token_for("https://management.example/")
    assert identities.asked[0]["resource"] == "https://management.example/"


def test_a_token_is_asked_for_once_while_it_is_valid(identities: Identities):
    assert token_for("https://graph.example") == token_for("https://graph.example")
    assert len(identities.asked) == 1


def test_an_identity_without_a_token_is_an_error_that_names_the_resource(identities: Identities):
    identities.refuses = True
    with pytest.raises(ost.OstinatoError, match=r"no token for 'https://graph\.example'"):
        token_for("https://graph.example")


@pytest.mark.parametrize("package", ["azure", "azure.identity"])
def test_without_azure_identity_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str
):
    _credential.cache_clear()
    found = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith(package):
            raise ModuleNotFoundError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ost.OstinatoError, match="pip install"):
        token_for("https://graph.example")


@pytest.mark.parametrize(
    "given", [object(), "https://graph.example", ost.ManagedIdentityTokenSource("")]
)
def test_what_is_no_token_source_is_refused(given: object):
    with pytest.raises(TypeError, match="ManagedIdentityTokenSource"):
        resource_of(given)

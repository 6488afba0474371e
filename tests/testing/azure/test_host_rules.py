"""What Azure's host refuses of a host.json, and what it passes over."""

from __future__ import annotations

import pytest

from ostinato.testing.azure.host_rules import KNOWN, HostJsonRefused, check, passed_over


def with_hub(name, **durable):
    return {"version": "2.0", "extensions": {"durableTask": {"hubName": name, **durable}}}


@pytest.mark.parametrize(
    "host",
    [
        {},
        {"version": "2.0"},
        {"VERSION": "2.0", "extensions": {"durabletask": {"hubname": "Hub1"}}},
        with_hub("a" * 45),
        with_hub("%HUB%-1"),
        with_hub("my-hub", storageProvider={"type": "mssql"}),
        {"version": "2.0", "extension": []},
    ],
)
def test_what_the_host_starts_with_is_taken(host):
    check(host)


@pytest.mark.parametrize("hub", ["my-hub", "1hub", "ab", "a" * 46, "höb"])
@pytest.mark.parametrize("durable", [{}, {"storageProvider": {"type": "AzureStorage"}}])
def test_a_hub_that_storage_could_not_name_is_refused(hub, durable):
    with pytest.raises(HostJsonRefused) as caught:
        check(with_hub(hub, **durable))
    assert str(caught.value) == (
        "extensions.durableTask.hubName is 3 to 45 letters and digits, the first a letter,"
        f" not {hub!r}"
    )


@pytest.mark.parametrize(
    ("host", "there"),
    [({"version": "1.0"}, '"1.0"'), ({"version": 2.0}, "2.0"), ({"logging": {}}, "missing")],
)
def test_another_version_of_the_file_is_refused(host, there):
    with pytest.raises(HostJsonRefused) as caught:
        check(host)
    assert str(caught.value) == f'version is {there}: the host wants "version": "2.0"'


def test_a_key_that_is_there_twice_but_for_its_case_is_refused():
    with pytest.raises(HostJsonRefused) as caught:
        check({"version": "2.0", "extensions": {"durableTask": {}, "durabletask": {}}})
    assert str(caught.value) == (
        "extensions.durableTask and extensions.durabletask are one key to the host: keep one"
    )


def test_what_means_nothing_to_the_host_is_told_with_what_it_may_be_meant_to_be():
    assert list(passed_over({key: {} for key in KNOWN})) == []
    assert list(passed_over({"Extensions": {}, "extension": {}, "mine": 1})) == [
        "host.json: 'extension' means nothing to Azure's host: is it 'extensions'?",
        "host.json: 'mine' means nothing to Azure's host",
    ]

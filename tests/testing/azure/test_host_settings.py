"""host.json and local.settings.json."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from ostinato.testing.azure.host_settings import (
    AppSettings,
    HostJson,
    QueueOptions,
    SettingsError,
)
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.worker import BindingError


def write(folder, name, value):
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))


def test_a_bare_host_json_has_the_real_hosts_defaults(tmp_path):
    write(tmp_path, "host.json", {"version": "2.0"})
    assert HostJson.read(tmp_path) == HostJson(
        hub_name="TestHubName", route_prefix="api", function_timeout=None, queues=QueueOptions()
    )
    assert QueueOptions().base64 and QueueOptions().max_dequeue_count == 5


def test_what_a_host_json_says_is_read(tmp_path):
    storage = {"controlQueueBufferThreshold": 256}
    durable = {"hubName": "hub", "defaultVersion": "2", "storageProvider": storage}
    queues = {
        "batchSize": 2,
        "maxDequeueCount": 3,
        "visibilityTimeout": "00:00:30",
        "messageEncoding": "none",
    }
    extensions = {"durableTask": durable, "queues": queues, "http": {"routePrefix": ""}}
    written = {"version": "2.0", "functionTimeout": "1.00:05:00", "extensions": extensions}
    write(tmp_path, "host.json", written)
    assert HostJson.read(tmp_path) == HostJson(
        hub_name="hub",
        hub=HubOptions(control_queue_buffer=256, default_version="2"),
        route_prefix="",
        function_timeout=timedelta(days=1, minutes=5),
        queues=QueueOptions(
            batch_size=2,
            max_dequeue_count=3,
            visibility_timeout=timedelta(seconds=30),
            base64=False,
        ),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, r"there is no host\.json in .*: is it the folder of a function app"),
        ("{", r"host\.json: it is no JSON"),
        ("[]", r"host\.json: it is no JSON object"),
        ('{"version": "2.0", "extensions": []}', "'extensions' is no JSON object"),
        (
            '{"version": "2.0", "functionTimeout": "5 minutes"}',
            "'5 minutes' is no time span; write it as hh:mm:ss",
        ),
        (
            '{"version": "2.0", "extensions": {"queues": {"messageEncoding": "x"}}}',
            "'base64' or 'none', not 'x'",
        ),
        ('{"version": "1.0"}', r'/host\.json: version is "1\.0": the host wants "version": "2\.0"'),
        (
            '{"version": "2.0", "extensions": {"queues": {"batchSize": "x"}}}',
            "batchSize is a whole number .* not 'x'",
        ),
    ],
)
def test_a_host_json_that_is_wrong_is_told_in_one_line(tmp_path, text, why):
    if text is not None:
        write(tmp_path, "host.json", text)
    with pytest.raises(SettingsError, match=why) as caught:
        HostJson.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_keys_are_read_in_any_case_as_the_real_host_reads_them(tmp_path):
    durable = {"durabletask": {"HubName": "hub"}, "HTTP": {"routeprefix": "v1"}}
    write(tmp_path, "host.json", {"Version": "2.0", "Extensions": durable})
    read = HostJson.read(tmp_path)
    assert (read.hub_name, read.route_prefix) == ("hub", "v1")


def test_keys_that_mean_nothing_are_told(tmp_path):
    write(tmp_path, "host.json", {"version": "2.0", "extension": {}})
    assert HostJson.read(tmp_path).passed_over == (
        "host.json: 'extension' means nothing to Azure's host: is it 'extensions'?",
    )


def test_settings_are_the_values_of_local_settings_json(tmp_path):
    assert AppSettings.read(tmp_path) == AppSettings({})
    write(tmp_path, "local.settings.json", {"IsEncrypted": False, "Values": {"QUEUE": "orders"}})
    settings = AppSettings.read(tmp_path)
    assert settings.resolve("new-%QUEUE%-in") == "new-orders-in"
    with pytest.raises(BindingError, match="app setting 'OTHER', which is not set"):
        settings.resolve("%OTHER%")


def test_a_connection_is_looked_for_under_the_hosts_prefix_first():
    own, c1, c2 = (f"AccountName={name};AccountKey=a2V5" for name in ("own", "c1", "c2"))
    settings = AppSettings({"AzureWebJobsStorage": own, "AzureWebJobsC": c1, "C": c2})
    assert settings.connection("C") == c1
    assert settings.connection(None) == settings.connection("Storage") == own
    assert settings.connection("AzureWebJobsStorage") == own
    assert settings.connection("Missing") is None


@pytest.mark.parametrize(
    "text", ["secret", "AccountKey=secret", "AccountName=a;AccountKey=secrets", "BlobEndpoint=x:y"]
)
def test_a_setting_that_is_no_connection_string_is_named_and_not_shown(text):
    with pytest.raises(BindingError) as caught:
        AppSettings({"AzureWebJobsOrders": text}).connection("Orders")
    told = str(caught.value)
    assert told.startswith("the app setting 'AzureWebJobsOrders' is no connection string")
    assert "DefaultEndpointsProtocol=https;AccountName=<name>;AccountKey=<key>" in told
    assert "secret" not in told

"""The management API as HTTP: how it is found, and that its key is told to nobody."""

from __future__ import annotations

import json
import socket

import pytest

from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure.client import AzureClient
from ostinato_azure.webhook import AzureError, Webhook
from tests.azure.test_functions import beside_plain_functions
from tests.conformance.harness import EPOCH

KEY = "s3cret-key"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_app_that_does_not_answer_is_named_and_its_key_is_not():
    client = AzureClient(f"http://127.0.0.1:{free_port()}", key=KEY)
    with pytest.raises(AzureError, match="did not answer: ConnectError") as caught:
        client.get_status("one")
    client.close()
    assert KEY not in str(caught.value)
    assert KEY not in repr(client._webhook)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_wrong_key_is_said_to_be_the_matter():
    _, target = beside_plain_functions()
    with FunctionsHost(DirectWorker(target), clock=ManualClock(EPOCH), key=KEY) as host:
        wrong = AzureClient(host.url, key="wrong")
        with pytest.raises(AzureError, match="give the system key"):
            wrong.get_status("one")
        wrong.close()
        right = AzureClient(host.url, key=KEY)
        assert right.list_instances().instances == []
        right.close()


@pytest.mark.parametrize(
    ("rpc", "shown"),
    [
        ("http://127.0.0.1:17071/durabletask/", "http://127.0.0.1:17071/durabletask"),
        ("http://127.0.0.1:50051", "https://app/runtime/webhooks/durabletask"),  # gRPC
    ],
)
def test_inside_an_app_the_binding_says_where_it_is(rpc: str, shown: str):
    status = "https://app/runtime/webhooks/durabletask/instances/ID?taskHub=h&code=k"
    text = json.dumps({"rpcBaseUrl": rpc, "managementUrls": {"statusQueryGetUri": status}})
    webhook = Webhook.of_binding(text)
    assert repr(webhook) == f"Webhook({shown!r})"
    webhook.close()

"""The account of a function app: by connection string, and by identity on Azurite over TLS."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from azure.core.exceptions import AzureError

from ostinato.testing.azure.azurite import Azurite
from ostinato_azure.account import Storage, app_storage, blob_service, reason
from ostinato_azure.claim_text import hash_of
from ostinato_azure.claims import BlobClaims
from tests.identities import Identities

TEXT = "kept by an identity"
URL = "https://account.blob.core.windows.net"


@pytest.fixture(scope="module")
def account(
    azurite_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The URL of an account that takes tokens, and the authority behind its certificate."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    options = ["--oauth", "basic", "--cert", f"{folder}/cert.pem", "--key", f"{folder}/key.pem"]
    with Azurite(azurite_program, options=options) as running:
        endpoint = running.connection_string.split("BlobEndpoint=")[1].partition(";")[0]
        yield endpoint, folder / "ca.pem"


@pytest.mark.parametrize("client_id", [None, "6f1f6b5e-0000-0000-0000-000000000000"])
def test_an_identity_stores_and_reads_blobs(
    identities: Identities, account: tuple[str, Path], client_id: str | None
):
    url, authority = account
    container = f"c{uuid.uuid4().hex[:10]}"
    with blob_service(Storage(url, client_id), connection_verify=str(authority)) as service:
        BlobClaims(service, container).put(hash_of(TEXT), TEXT)
        reader = BlobClaims(service, container)  # which has nothing cached
        assert reader.get(hash_of(TEXT)) == TEXT
    [asked] = identities.asked
    assert asked["resource"] == "https://storage.azure.com"
    assert asked.get("client_id") == client_id


def test_an_identity_that_is_refused_is_told_which_role_it_needs(
    identities: Identities, account: tuple[str, Path]
):
    url, authority = account
    identities.issuer = "https://elsewhere.example/"
    with (
        blob_service(Storage(url), connection_verify=str(authority)) as service,
        pytest.raises(AzureError) as refused,
    ):
        service.create_container("refused")
    assert "Storage Blob Data Contributor" in reason(refused.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"AzureWebJobsStorage": ""}, None),
        (
            {"AzureWebJobsStorage": "UseDevelopmentStorage=true"},
            Storage("UseDevelopmentStorage=true"),
        ),
        ({"AzureWebJobsStorage__accountName": "account"}, Storage(URL)),
        ({"AzureWebJobsStorage__blobServiceUri": f"{URL}/"}, Storage(f"{URL}/")),
        (
            {"AzureWebJobsStorage__accountName": "account", "AzureWebJobsStorage__clientId": "id"},
            Storage(URL, "id"),
        ),
    ],
)
def test_the_account_is_the_one_that_the_host_uses(
    settings: dict[str, str], expected: Storage | None
):
    assert app_storage(settings) == expected


def test_a_place_that_is_none_is_named_and_shown_nowhere():
    storage = Storage("AccountKey=c2VjcmV0")
    assert "c2VjcmV0" not in repr(storage)
    with pytest.raises(ValueError, match="connection string or the URL") as refused:
        blob_service(storage)
    assert "c2VjcmV0" not in str(refused.value)

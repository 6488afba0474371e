"""Large payloads in Blob storage, on Azurite."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from azure.storage.blob import BlobServiceClient

from ostinato_azure.claim_text import ClaimError, hash_of
from ostinato_azure.claims import (
    CONTAINER_VARIABLE,
    RENEWAL,
    THRESHOLD,
    THRESHOLD_VARIABLE,
    BlobClaims,
    app_claims,
)


@pytest.fixture
def container() -> str:
    return f"claims-{uuid4().hex[:10]}"


def blobs(storage: str, container: str) -> list[str]:
    with BlobServiceClient.from_connection_string(storage) as service:
        return list(service.get_container_client(container).list_blob_names())


def test_a_text_is_stored_once_under_its_hash_and_read_by_others(
    storage: str, container: str
) -> None:
    text = "ü large " * 1000
    for _ in range(2):  # the container is made by the first
        claims = BlobClaims.connect(storage, container)
        claims.put(hash_of(text), text)
        claims.put(hash_of(text), text)
        claims.close()
    other = BlobClaims.connect(storage, container)
    assert other.get(hash_of(text)) == text
    other.close()
    assert blobs(storage, container) == [hash_of(text)]


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def state_of(service: BlobServiceClient, container: str, text: str) -> str:
    """Changes whenever the blob of a text is modified, as its time of modification does."""
    return service.get_blob_client(container, hash_of(text)).get_blob_properties().etag


def test_a_text_that_is_stored_again_makes_its_blob_new_once_a_day(
    storage: str, container: str
) -> None:
    with BlobServiceClient.from_connection_string(storage) as service:
        clock, text = Clock(), "x" * 100
        claims = BlobClaims(service, container, clock=clock)
        states: list[str] = []
        for clock.now in (0, RENEWAL - 1, RENEWAL, 2 * RENEWAL - 1, 2 * RENEWAL):
            claims.put(hash_of(text), text)
            states.append(state_of(service, container, text))
        first, same, second, same_again, third = states
        assert (first, second) == (same, same_again)
        assert len({first, second, third}) == 3
        clock.now = 0  # set back
        claims.put(hash_of(text), text)
        assert state_of(service, container, text) != third


@pytest.mark.parametrize("reads_first", [False, True])
def test_a_text_that_another_worker_stored_long_ago_is_new_again(
    storage: str, container: str, reads_first: bool
) -> None:
    with BlobServiceClient.from_connection_string(storage) as service:
        text = "x" * 100
        BlobClaims(service, container).put(hash_of(text), text)
        before = state_of(service, container, text)
        other = BlobClaims(service, container)
        if reads_first:
            other.get(hash_of(text))
        other.put(hash_of(text), text)
        assert state_of(service, container, text) != before


def test_a_text_whose_blob_was_deleted_is_stored_anew_after_a_day(
    storage: str, container: str
) -> None:
    with BlobServiceClient.from_connection_string(storage) as service:
        clock, text = Clock(), "x" * 100
        claims = BlobClaims(service, container, clock=clock)
        claims.put(hash_of(text), text)
        service.get_blob_client(container, hash_of(text)).delete_blob()
        clock.now = RENEWAL
        claims.put(hash_of(text), text)
        assert blobs(storage, container) == [hash_of(text)]


def test_a_blob_that_is_deleted_just_before_it_is_made_new_is_stored_anew(
    storage: str, container: str
) -> None:
    text = "x" * 100

    def delete(response: Any) -> None:
        if response.http_response.status_code == 409 and blobs(storage, container):
            plain.get_blob_client(container, hash_of(text)).delete_blob()

    with (
        BlobServiceClient.from_connection_string(storage) as plain,
        BlobServiceClient.from_connection_string(storage, raw_response_hook=delete) as hooked,
    ):
        BlobClaims(plain, container).put(hash_of(text), text)
        BlobClaims(hooked, container).put(hash_of(text), text)
        assert blobs(storage, container) == [hash_of(text)]


def test_a_blob_that_is_made_new_between_two_parts_of_it_is_read_again(
    storage: str, container: str
) -> None:
    text, read = "x" * 1000, list[int]()

    def touch(response: Any) -> None:
        read.append(response.http_response.status_code)
        if len(read) == 1:
            plain.get_blob_client(container, hash_of(text)).set_blob_metadata()

    with (
        BlobServiceClient.from_connection_string(storage) as plain,
        BlobServiceClient.from_connection_string(
            storage, raw_response_hook=touch, max_single_get_size=600, max_chunk_get_size=600
        ) as hooked,
    ):
        BlobClaims(plain, container).put(hash_of(text), text)
        assert BlobClaims(hooked, container).get(hash_of(text)) == text
        assert 412 in read


def test_what_was_used_last_is_kept_in_memory_up_to_a_size(storage: str, container: str) -> None:
    with BlobServiceClient.from_connection_string(storage) as service:
        claims = BlobClaims(service, container, cache_size=250)
        texts = [letter * 100 for letter in "abc"]
        for text in texts:
            claims.put(hash_of(text), text)
        service.delete_container(container)
        assert [claims.get(hash_of(text)) for text in texts[1:]] == texts[1:]
        with pytest.raises(ClaimError, match="it is not there"):
            claims.get(hash_of(texts[0]))


def test_a_text_that_is_larger_than_the_memory_for_them_is_stored_all_the_same(
    storage: str, container: str
) -> None:
    with BlobServiceClient.from_connection_string(storage) as service:
        claims = BlobClaims(service, container, cache_size=10)
        claims.put(hash_of("x" * 100), "x" * 100)
        assert claims.get(hash_of("x" * 100)) == "x" * 100


def test_a_blob_that_holds_something_else_is_refused(storage: str, container: str) -> None:
    with BlobServiceClient.from_connection_string(storage) as service:
        service.create_container(container).upload_blob("0" * 64, b"forged")
        claims = BlobClaims(service, container)
        with pytest.raises(ClaimError, match=f"blob {'0' * 64} in container '{container}' .* else"):
            claims.get("0" * 64)


def test_a_blob_that_is_gone_is_named(storage: str, container: str) -> None:
    claims = BlobClaims.connect(storage, container)
    with pytest.raises(
        ClaimError, match=f"blob {'1' * 64} .*'{container}'.* cannot be read: it is"
    ):
        claims.get("1" * 64)
    claims.close()


def test_storage_that_refuses_or_does_not_answer_is_one_error_without_the_key(
    storage: str, container: str
) -> None:
    settings = dict(part.split("=", 1) for part in storage.split(";") if part)
    wrong_key = "d3Jvbmc="
    refused = BlobClaims.connect(storage.replace(settings["AccountKey"], wrong_key), container)
    with pytest.raises(ClaimError, match="cannot be stored: access was refused") as caught:
        refused.put(hash_of("x"), "x")
    assert wrong_key not in str(caught.value)
    refused.close()
    with BlobServiceClient(
        "http://127.0.0.1:9/account", credential=settings["AccountKey"], retry_total=0
    ) as service:
        with pytest.raises(ClaimError, match="storage did not answer") as caught:
            BlobClaims(service, container).get("1" * 64)
        assert settings["AccountKey"] not in str(caught.value)


def test_a_storage_account_is_given_by_connection_string_or_url() -> None:
    with pytest.raises(ValueError, match="neither") as caught:
        BlobClaims.connect("AccountKey=c2VjcmV0")
    assert "c2VjcmV0" not in str(caught.value)
    by_identity = BlobClaims.connect("https://account.blob.core.windows.net")
    assert by_identity.threshold == THRESHOLD
    by_identity.close()


STORAGE = "UseDevelopmentStorage=true"


@pytest.mark.parametrize(
    ("settings", "threshold"),
    [
        ({}, None),
        ({"AzureWebJobsStorage": STORAGE}, None),
        ({CONTAINER_VARIABLE: "c", "AzureWebJobsStorage": STORAGE}, THRESHOLD),
        ({CONTAINER_VARIABLE: "c", "AzureWebJobsStorage__accountName": "account"}, THRESHOLD),
        (
            {
                CONTAINER_VARIABLE: "c",
                THRESHOLD_VARIABLE: "100",
                "AzureWebJobsStorage__blobServiceUri": "https://account.blob.core.windows.net",
            },
            100,
        ),
    ],
)
def test_an_apps_settings_switch_claims_on(settings: dict[str, str], threshold: int | None) -> None:
    claims = app_claims(settings)
    assert (None if claims is None else claims.threshold) == threshold
    assert app_claims(settings) is claims


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({CONTAINER_VARIABLE: "c"}, "AzureWebJobsStorage"),
        ({CONTAINER_VARIABLE: "c", THRESHOLD_VARIABLE: "45k"}, THRESHOLD_VARIABLE),
    ],
)
def test_a_setting_that_is_missing_or_wrong_is_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        app_claims(settings)

"""Objects by URI: files here, and what no place is for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from activities.objects import CHUNK
from activities.places import objects


def read(uri: str) -> bytes:
    with objects(uri).opened(uri) as opened:
        chunks = list(opened.chunks)
    assert opened.size == sum(map(len, chunks))
    assert all(0 < len(chunk) <= CHUNK for chunk in chunks)
    return b"".join(chunks)


@pytest.mark.parametrize("size", [0, 1, CHUNK, 2 * CHUNK + 1])
def test_a_file_is_read_in_parts(tmp_path: Path, size: int):
    content = os.urandom(size)
    (tmp_path / "a.bin").write_bytes(content)
    assert read(str(tmp_path / "a.bin")) == content


def test_what_is_written_by_path_is_read_by_uri_and_the_other_way_round(tmp_path: Path):
    path = tmp_path / "new" / "50 % ü#.txt"
    objects(str(path)).write(str(path), b"one")
    assert "%20" in path.as_uri()
    assert read(path.as_uri()) == b"one"
    objects(path.as_uri()).write(path.as_uri(), b"two")
    assert read(str(path)) == b"two"
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"gone\.txt"):
        read(str(tmp_path / "gone.txt"))


@pytest.mark.parametrize("scheme", ["s3", "ftp", "abfss"])
def test_an_unknown_scheme_is_told_with_those_that_are_known(scheme: str):
    with pytest.raises(ValueError, match=rf"reads or writes {scheme}://; .*file://.*https://"):
        objects(f"{scheme}://bucket/key")


def test_blobs_without_their_package_are_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "activities.blobs", raising=False)
    monkeypatch.setitem(sys.modules, "azure.storage.blob", None)
    with pytest.raises(ImportError, match=r"pip install 'ostinato\[azure\]'"):
        objects("https://account.blob.core.windows.net/incoming/a.txt")

"""Where media are kept: a folder, memory, a bucket; each file whole or not at all."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.registry import _registry
from tests.kit import bucket

from twinline.kit.files import Files, FilesError

CAKE = bytes(range(256)) * 2000


@pytest.fixture(params=["folder", "memory", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    if request.param != "s3":
        yield Files(f"file://{tmp_path}/media" if request.param == "folder" else f"memory://{tmp_path.name}")
        return
    # fsspec keeps what it opened, also for an endpoint that is gone.
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()
    with bucket.served() as (address, _):
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield Files("s3://photos/media")


def test_what_was_kept_is_there_whole_and_in_parts(files: Files) -> None:
    assert not files.has("1/ab/cake")
    files.write("1/ab/cake", CAKE)
    assert files.has("1/ab/cake")
    assert files.read("1/ab/cake") == CAKE
    with files.open("1/ab/cake") as stream:
        assert stream.seek(0, 2) == len(CAKE)
        stream.seek(300)
        assert stream.read(10) == CAKE[300:310]


def test_a_file_or_a_folder_is_erased_and_no_other(files: Files) -> None:
    for name in ("lists/1/a/original", "lists/1/a/about.json", "lists/1/b/original", "lists/10/a/original"):
        files.write(name, b"x")
    files.erase("lists/1/a")
    files.erase("lists/1/b/original")
    files.erase("lists/nowhere")
    assert [name for name, _ in files.under("lists")] == ["lists/10/a/original"]
    assert files.under("nowhere") == []


def test_it_is_known_when_a_file_was_written(files: Files) -> None:
    files.write("a/b", b"x")
    [(_, first)] = files.under("a")
    files.write("a/b", b"y")
    [(_, then)] = files.under("a")
    assert first.tzinfo is not None
    assert first <= then


def test_a_file_is_replaced_whole(files: Files) -> None:
    files.write("1/ab/cake", CAKE)
    files.write("1/ab/cake", b"crumbs")
    assert files.read("1/ab/cake") == b"crumbs"


def test_what_isnt_there_is_said_to_be_missing(files: Files) -> None:
    with pytest.raises(FileNotFoundError):
        files.read("1/ab/nothing")
    with pytest.raises(FileNotFoundError), files.open("1/ab/nothing") as stream:
        stream.read()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "", "a b", "-x"])
def test_no_name_leads_out_of_the_place(files: Files, name: str) -> None:
    with pytest.raises(ValueError, match="not a file name"):
        files.write(name, b"x")


def test_a_folder_never_holds_half_a_file(tmp_path: Path) -> None:
    Files(f"file://{tmp_path}").write("1/cake", CAKE)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["cake"]


def test_a_bucket_without_its_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(FilesError, match=r"pip install 'twinline\[s3\]'"):
        Files("s3://a-bucket-nobody-has-asked-for/media")


def test_an_address_of_nothing_known_is_refused_with_what_would_do() -> None:
    with pytest.raises(FilesError, match="TWINLINE_MEDIA_URL"):
        Files("carrier-pigeon://coop/3")


def test_a_store_that_doesnt_answer_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files("memory://away")

    def broken(*_: object) -> None:
        raise RuntimeError("no connection, in a class of the client's own")

    for name in ("pipe_file", "cat_file", "exists", "open"):
        monkeypatch.setattr(files._fs, name, broken)
    for act in (lambda: files.write("a/b", b""), lambda: files.read("a/b"), lambda: files.has("a/b")):
        with pytest.raises(OSError, match="doesn't answer"):
            act()
    with pytest.raises(OSError, match="doesn't answer"), files.open("a/b"):
        pass

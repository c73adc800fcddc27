"""Publishing to gs:// with Google's own client library, against a stand-in for the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model_export import gcs_storage, owners, publish
from model_export.cli import main
from model_export.manifest import Manifest
from model_export.storage import StorageError, UrlError, local_path, normalised_url, open_storage
from tests.model_export.fake_gcs import FakeGcs, serving

MakeModel = Callable[..., tuple[Path, Manifest]]
URL = "gs://models-1/models/abc"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with serving(FakeGcs("models-1")) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        gcs_storage._client.cache_clear()
        yield fake
        gcs_storage._client.cache_clear()


@pytest.fixture
def model(made_up_model: MakeModel) -> tuple[Path, Manifest]:
    return made_up_model()


def names(gcs: FakeGcs) -> list[str]:
    return sorted(gcs.buckets["models-1"])


def test_the_saved_model_is_uploaded_after_all_it_needs_and_the_manifest_last(
    gcs: FakeGcs, model: tuple[Path, Manifest]
) -> None:
    publish.publish(*model, open_storage(URL))
    sent = [line.removeprefix("put models/abc/") for line in gcs.log if line.startswith("put")]
    assert sent[0] == "manifest.partial.json"
    assert sent[-2:] == ["1/saved_model.pb", "manifest.json"]
    assert len(sent) == len(model[1].files) + 2


def test_a_published_model_is_complete_and_its_checksums_need_no_download(
    gcs: FakeGcs, model: tuple[Path, Manifest]
) -> None:
    storage = open_storage(URL)
    publish.publish(*model, storage)
    gcs.log.clear()
    assert publish.problems(storage) == []
    assert gcs.log == ["download models/abc/manifest.json"]


def test_a_rerun_sends_only_what_is_missing(gcs: FakeGcs, model: tuple[Path, Manifest]) -> None:
    storage = open_storage(URL)
    publish.publish(*model, storage)
    del gcs.buckets["models-1"]["models/abc/1/saved_model.pb"]
    gcs.log.clear()
    publish.publish(*model, storage)
    sent = [line.rpartition("/")[2] for line in gcs.log if line.startswith("put")]
    assert sent == ["manifest.partial.json", "saved_model.pb", "manifest.json"]


def test_an_object_with_changed_content_is_noticed(
    gcs: FakeGcs, model: tuple[Path, Manifest]
) -> None:
    storage = open_storage(URL)
    publish.publish(*model, storage)
    objects = gcs.buckets["models-1"]
    content, _ = objects["models/abc/1/saved_model.pb"]
    objects["models/abc/1/saved_model.pb"] = (bytes(len(content)), {})
    assert publish.problems(storage) == ["1/saved_model.pb has a wrong checksum"]


def test_deleting_removes_exactly_what_was_published(
    gcs: FakeGcs, model: tuple[Path, Manifest]
) -> None:
    storage = open_storage(URL)
    gcs.buckets["models-1"]["models/abcd/other"] = (b"x", {})
    publish.publish(*model, storage)
    owners.claim(storage, "p/dev/model", "t")
    owners.release(storage, "t")
    publish.delete(storage)
    assert names(gcs) == ["models/abcd/other"]
    assert storage.sizes() == {}


def test_a_large_file_is_uploaded_in_chunks_unchanged(
    gcs: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_storage, "_CHUNK_BYTES", 10 * 2**20)
    content = bytes(range(256)) * 90_000
    (tmp_path / "large").write_bytes(content)
    storage = open_storage(URL)
    storage.put(tmp_path / "large", "1/large")
    assert [upload["parts"] for _, upload in gcs.uploads.values()] == [3]
    assert gcs.buckets["models-1"]["models/abc/1/large"][0] == content


def test_a_missing_object_reads_as_none(gcs: FakeGcs) -> None:
    storage = open_storage(URL)
    assert storage.read("manifest.json") is None
    storage.delete("manifest.json")
    elsewhere = open_storage("gs://nowhere/models/abc")
    assert elsewhere.read("manifest.json") is None
    assert elsewhere.sizes() == {}
    with pytest.raises(StorageError, match="there is no bucket nowhere"):
        elsewhere.write(b"x", "manifest.json")


def test_a_refusal_names_the_missing_role(gcs: FakeGcs) -> None:
    gcs.refuse = True
    with pytest.raises(StorageError, match=r"roles/storage\.objectUser on gs://models-1$"):
        open_storage(URL).sizes()


def test_access_is_checked_before_a_long_export(gcs: FakeGcs) -> None:
    open_storage(URL).check_access()
    with pytest.raises(StorageError, match="there is no bucket nowhere"):
        open_storage("gs://nowhere/models/abc").check_access()
    gcs.refuse = True
    with pytest.raises(StorageError, match=r"objects\.list is not granted.*storage\.objectUser"):
        open_storage(URL).check_access()


@pytest.mark.parametrize(
    ("url", "refuse", "message"),
    [
        ("gs://nowhere/models", False, "there is no bucket nowhere"),
        ("gs://models-1/models", True, "you need roles/storage.objectUser on gs://models-1"),
    ],
)
def test_an_export_that_cannot_be_published_ends_at_once_with_one_line(
    url: str, refuse: bool, message: str, gcs: FakeGcs, capsys: pytest.CaptureFixture[str]
) -> None:
    gcs.refuse = refuse
    assert main(["export", "--to", url]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("model_export: ") and message in line


def test_a_model_in_a_bucket_can_be_inspected(
    gcs: FakeGcs, model: tuple[Path, Manifest], capsys: pytest.CaptureFixture[str]
) -> None:
    publish.publish(*model, open_storage(URL))
    assert main(["inspect", URL]) == 0
    assert main(["verify", "--json", URL]) == 0
    text, _, document = capsys.readouterr().out.partition("{")
    assert "verdict        complete" in text
    assert json.loads("{" + document)["complete"] is True


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"{URL}/1", f"is inside a model: {URL} is the model"),
        (f"{URL}/1/saved_model.pb", f"is inside a model: {URL} is the model"),
        ("gs://models-1/models", f"is a folder of models, not a model: choose one of them ({URL})"),
        ("gs://models-1/models/abd", f"does not exist; the models beside it: {URL}"),
        ("gs://models-1/elsewhere", "does not exist"),
        ("gs://models-1/notes", "is not a published model: it has no manifest.json"),
        ("gs://nowhere-1/models", "gs://nowhere-1/models: there is no bucket nowhere-1"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "verify", "delete"])
def test_a_place_in_a_bucket_that_is_no_model_says_what_it_is(
    command: str,
    url: str,
    message: str,
    gcs: FakeGcs,
    model: tuple[Path, Manifest],
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish.publish(*model, open_storage(URL))
    gcs.buckets["models-1"]["notes/today.txt"] = (b"x", {})
    before = dict(gcs.buckets["models-1"])
    assert main([command, url]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert gcs.buckets["models-1"] == before


def test_a_checksum_copied_onto_other_content_is_not_trusted(
    gcs: FakeGcs, model: tuple[Path, Manifest]
) -> None:
    storage = open_storage(URL)
    publish.publish(*model, storage)
    objects = gcs.buckets["models-1"]
    content, metadata = objects["models/abc/1/saved_model.pb"]
    objects["models/abc/1/saved_model.pb"] = (bytes(len(content)), metadata)
    assert publish.problems(storage) == ["1/saved_model.pb has a wrong checksum"]


def test_missing_credentials_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth.exceptions import DefaultCredentialsError

    def fail() -> Any:
        raise DefaultCredentialsError("Your default credentials were not found.\nMore.")

    monkeypatch.setattr(gcs_storage, "_client", fail)
    with pytest.raises(StorageError) as error:
        open_storage(URL).sizes()
    assert "run `gcloud auth application-default login`" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_user_without_any_project_can_publish(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    from google.auth._cloud_sdk import CLOUD_SDK_CLIENT_ID

    file = tmp_path / "application_default_credentials.json"
    user = {"client_id": CLOUD_SDK_CLIENT_ID, "client_secret": "s", "refresh_token": "r"}
    file.write_text(json.dumps({"type": "authorized_user", **user}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.setenv("PATH", "")  # no gcloud, which may know a project
    for name in ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert gcs_storage._client.__wrapped__().bucket("models-1").name == "models-1"
    assert not recwarn.list


@pytest.mark.parametrize(
    "reason",
    [
        "me@example.com does not have serviceusage.services.use access to the Google Cloud project",
        "Cloud Storage JSON API has not been used in project 1234 before or it is disabled",
    ],
)
def test_a_refused_quota_project_is_not_told_as_a_missing_role(
    monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    from google.api_core.exceptions import Forbidden

    def fail() -> Any:
        raise Forbidden(reason)

    monkeypatch.setattr(gcs_storage, "_client", fail)
    with pytest.raises(StorageError) as error:
        open_storage(URL).sizes()
    assert "set-quota-project" in str(error.value) and "objectUser" not in str(error.value)


def test_each_folder_in_a_bucket_has_one_spelling() -> None:
    assert normalised_url("gs://models-1/a/b/") == "gs://models-1/a/b"


@pytest.mark.parametrize(
    "url", ["gs://", "gs://bucket", "gs://bucket/", "gs:///models", "gs://B_/x", "gs://b-1/a/../b"]
)
def test_a_malformed_bucket_url_is_refused(url: str) -> None:
    with pytest.raises(UrlError):
        normalised_url(url)


def test_a_folder_in_a_bucket_is_not_on_this_machine() -> None:
    with pytest.raises(UrlError, match="is not on this machine"):
        local_path("gs://models-1/models")

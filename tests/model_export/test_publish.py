"""Publishing: the order, what an interruption leaves, resuming, checking, deleting."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from model_export import owners, publish
from model_export.manifest import FileEntry, Manifest, ManifestError
from model_export.storage import (
    FileStorage,
    StorageError,
    UrlError,
    child_url,
    local_path,
    normalised_url,
    open_storage,
)
from tests.model_export.serving_loader import is_safe

MakeModel = Callable[..., tuple[Path, Manifest]]

ORDER = [
    "1/variables/variables.data-00000-of-00001",
    "1/variables/variables.index",
    "1/assets/words.txt",
    "1/assets.extra/LICENSE",
    "1/fingerprint.pb",
    "1/saved_model.pb",
]


class PowerCutError(Exception):
    """Stands in for the end of the process in the middle of an upload."""


class RecordingStorage(FileStorage):
    """Records its operations, and can stop at the nth one."""

    def __init__(self, url: str, stop_after: int = 10_000) -> None:
        super().__init__(url)
        self.operations: list[tuple[str, str]] = []
        self._left = stop_after

    def _note(self, operation: str, path: str) -> None:
        if self._left == 0:
            raise PowerCutError
        self._left -= 1
        self.operations.append((operation, path))

    def put(self, source: Path, path: str) -> None:
        self._note("put", path)
        super().put(source, path)

    def write(self, content: bytes, path: str) -> None:
        self._note("write", path)
        super().write(content, path)

    def delete(self, path: str) -> None:
        self._note("delete", path)
        super().delete(path)

    @property
    def sent(self) -> list[str]:
        return [path for operation, path in self.operations if operation == "put"]


@pytest.fixture
def target(tmp_path: Path) -> str:
    return f"file://{tmp_path}/models/one"


def files_in(url: str) -> set[str]:
    return set(FileStorage(url).sizes())


def contents_of(url: str) -> dict[str, bytes]:
    return {path: (local_path(url) / path).read_bytes() for path in files_in(url)}


def test_the_saved_model_is_uploaded_after_all_it_needs_and_the_manifest_last(
    made_up_model: MakeModel, target: str
) -> None:
    folder, manifest = made_up_model()
    storage = RecordingStorage(target)
    publish.publish(folder, manifest, storage)
    assert storage.sent == ORDER
    writes = [path for operation, path in storage.operations if operation == "write"]
    assert writes == ["manifest.partial.json", "manifest.json"]
    assert storage.operations.index(("write", "manifest.json")) > storage.operations.index(
        ("put", "1/saved_model.pb")
    )
    assert publish.problems(storage) == []
    assert files_in(target) == {*ORDER, "manifest.json"}


def test_publishing_again_sends_nothing(made_up_model: MakeModel, target: str) -> None:
    folder, manifest = made_up_model()
    publish.publish(folder, manifest, FileStorage(target))
    again = RecordingStorage(target)
    publish.publish(folder, manifest, again)
    assert again.sent == []


@pytest.mark.parametrize("operations", range(9))
def test_an_interrupted_upload_is_never_loadable_and_resumes_file_by_file(
    operations: int, made_up_model: MakeModel, target: str
) -> None:
    folder, manifest = made_up_model()
    first = RecordingStorage(target, stop_after=operations)
    with pytest.raises(PowerCutError):
        publish.publish(folder, manifest, first)
    present = files_in(target)
    assert is_safe(contents_of(target), manifest)
    assert (publish.problems(FileStorage(target)) == []) == ("manifest.json" in present)
    second = RecordingStorage(target)
    publish.publish(folder, manifest, second)
    assert set(second.sent) == set(ORDER) - set(first.sent)
    assert publish.problems(second) == []
    assert files_in(target) == {*ORDER, "manifest.json"}


@pytest.mark.parametrize("operations", range(8))
def test_nothing_loads_while_a_graph_replaces_another_of_the_same_name(
    operations: int, made_up_model: MakeModel, target: str
) -> None:
    """Two exports of one spec may differ in bytes; a mix of the two must not load."""
    old_folder, old = made_up_model("old", **{"1/assets/gone.txt": "gone"})
    changes = {"1/variables/variables.index": "INDEX", "1/assets/words.txt": "WORDS"}
    new_folder, new = made_up_model("new", **changes)
    publish.publish(old_folder, old, FileStorage(target))
    storage = RecordingStorage(target, stop_after=operations)
    with pytest.raises(PowerCutError):
        publish.publish(new_folder, new, storage)
    assert is_safe(contents_of(target), new, old)
    publish.publish(new_folder, new, FileStorage(target))
    assert publish.problems(FileStorage(target)) == []
    assert files_in(target) == {*ORDER, "manifest.json"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda f: (f / "manifest.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "manifest.json").write_text("[]"), "cannot be read"),
        (lambda f: (f / "manifest.json").write_text('{"format": 9}'), "has format 9, not 1"),
        (lambda f: (f / "1/saved_model.pb").unlink(), "1/saved_model.pb is missing"),
        (lambda f: (f / "1/saved_model.pb").write_text("gra"), "has 3 bytes instead of 5"),
        (lambda f: (f / "1/saved_model.pb").write_text("GRAPH"), "has a wrong checksum"),
    ],
)
def test_damage_is_found_and_repaired_by_the_next_publish(
    damage: Callable[[Path], object], message: str, made_up_model: MakeModel, target: str
) -> None:
    folder, manifest = made_up_model()
    storage = FileStorage(target)
    publish.publish(folder, manifest, storage)
    damage(local_path(target))
    (problem,) = publish.problems(storage)
    assert message in problem
    publish.publish(folder, manifest, storage)
    assert publish.problems(storage) == []


def test_a_quick_check_compares_only_sizes(made_up_model: MakeModel, target: str) -> None:
    folder, manifest = made_up_model()
    storage = FileStorage(target)
    publish.publish(folder, manifest, storage)
    (local_path(target) / "1/saved_model.pb").write_text("GRAPH")
    assert publish.problems(storage, checksums=False) == []
    assert publish.problems(storage) != []


def test_a_later_change_of_the_source_does_not_reach_the_published_file(
    made_up_model: MakeModel, target: str
) -> None:
    folder, manifest = made_up_model()
    publish.publish(folder, manifest, FileStorage(target))
    (folder / "1/saved_model.pb").write_text("other")
    assert publish.problems(FileStorage(target)) == []


def test_delete_removes_what_the_manifest_lists_and_nothing_else(
    made_up_model: MakeModel, target: str
) -> None:
    folder, manifest = made_up_model()
    publish.publish(folder, manifest, FileStorage(target))
    mine = local_path(target) / "1" / "assets" / "mine.txt"
    mine.write_text("keep me")
    neighbour = local_path(target).parent / "two"
    neighbour.mkdir()
    assert publish.delete(FileStorage(target)) == len(ORDER)
    assert files_in(target) == {"1/assets/mine.txt"}
    assert neighbour.is_dir()
    mine.unlink()
    assert publish.delete(FileStorage(target)) == 0
    assert not local_path(target).exists()
    assert local_path(target).parent.is_dir()


@pytest.mark.parametrize("operations", range(8))
def test_an_interrupted_delete_leaves_nothing_loadable_and_can_be_repeated(
    operations: int, made_up_model: MakeModel, target: str
) -> None:
    folder, manifest = made_up_model()
    publish.publish(folder, manifest, FileStorage(target))
    with pytest.raises(PowerCutError):
        publish.delete(RecordingStorage(target, stop_after=operations))
    if operations:
        assert "1/saved_model.pb" not in files_in(target)
    publish.delete(FileStorage(target))
    assert not local_path(target).exists()


def test_deleting_an_unfinished_upload_removes_what_its_manifest_lists(
    made_up_model: MakeModel, target: str
) -> None:
    folder, manifest = made_up_model()
    with pytest.raises(PowerCutError):
        publish.publish(folder, manifest, RecordingStorage(target, stop_after=4))
    assert publish.is_unfinished(FileStorage(target))
    publish.delete(FileStorage(target))
    assert not local_path(target).exists()


@pytest.mark.parametrize(
    "path",
    ["../escape", "/etc/passwd", "1/../../escape", "", ".", "1//x", "1/./x", "..", "a\\b", "a\0b"],
)
def test_a_manifest_with_a_path_that_escapes_is_refused(
    path: str, made_up_model: MakeModel, target: str, tmp_path: Path
) -> None:
    folder, manifest = made_up_model()
    publish.publish(folder, manifest, FileStorage(target))
    outside = tmp_path / "models" / "escape"
    outside.write_text("precious")
    bad = dataclasses.replace(manifest, files=(*manifest.files, FileEntry(path, 8, "0" * 64)))
    (local_path(target) / "manifest.json").write_bytes(bad.to_bytes())
    with pytest.raises(ManifestError, match="delete the folder by hand"):
        publish.delete(FileStorage(target))
    with pytest.raises(ManifestError, match="not a path inside the model folder"):
        publish.publish(folder, bad, FileStorage(target))
    assert outside.read_text() == "precious"


def test_a_link_that_leads_out_of_the_folder_is_not_followed(
    made_up_model: MakeModel, target: str, tmp_path: Path
) -> None:
    folder, manifest = made_up_model()
    publish.publish(folder, manifest, FileStorage(target))
    elsewhere = tmp_path / "elsewhere"
    (local_path(target) / "1" / "assets").rename(elsewhere)
    (local_path(target) / "1" / "assets").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="leads out of"):
        publish.delete(FileStorage(target))
    assert (elsewhere / "words.txt").exists()


def test_a_manifest_survives_a_round_trip(made_up_model: MakeModel) -> None:
    _, manifest = made_up_model()
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    document = json.loads(manifest.to_bytes())
    assert document["sizeBytes"] == manifest.size_bytes == 31
    assert document["spec"]["sampler"] == manifest.spec.sampler


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("file:///srv/models", "file:///srv/models"),
        ("file:///srv/models//", "file:///srv/models"),
        ("FILE:///srv/models", "file:///srv/models"),
        ("file://localhost/srv/models", "file:///srv/models"),
        ("file:///srv/my%20models", "file:///srv/my%20models"),
        ("file:///srv/my models", "file:///srv/my%20models"),
        ("file:///srv/m%C3%B6dels", "file:///srv/m%C3%B6dels"),
    ],
)
def test_a_destination_has_one_spelling(url: str, normal: str) -> None:
    assert normalised_url(url) == normal == normalised_url(normal)


def test_a_folder_with_spaces_and_signs_works(made_up_model: MakeModel, tmp_path: Path) -> None:
    folder = tmp_path / "my models # 100% é"
    folder, manifest = made_up_model()
    storage = open_storage(child_url(folder.as_uri(), "one"))
    publish.publish(folder, manifest, storage)
    assert (folder / "one" / "manifest.json").exists()
    assert local_path(storage.url) == folder / "one"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/models",
        "models",
        "s3://bucket/models",
        "file://",
        "file:///",
        "file://host/models",
        "file:///srv/../etc",
        "file:///srv/./models",
        "file:///srv//models",
        "file:///srv/models?x=1",
        "file:///srv/models#x",
        "file:///srv/%2e%2e/etc",
        "file:///srv/a%00b",
    ],
)
def test_a_malformed_destination_is_refused(url: str) -> None:
    with pytest.raises(UrlError):
        open_storage(url)


def test_a_model_has_every_owner_that_claimed_it(target: str) -> None:
    storage = FileStorage(target)
    owners.claim(storage, "stack/a", "1")
    owners.claim(storage, "stack/b", "2")
    assert owners.owners(storage) == ["stack/a", "stack/b"]
    owners.release(storage, "1")
    assert owners.owners(storage) == ["stack/b"]
    owners.release(storage, "a stranger's")
    owners.release(storage, "2")
    assert owners.owners(storage) == []


def test_releasing_an_old_claim_keeps_the_same_owners_later_one(target: str) -> None:
    storage = FileStorage(target)
    owners.claim(storage, "stack/a", "old")
    owners.claim(storage, "stack/a", "later")
    owners.release(storage, "old")
    assert owners.owners(storage) == ["stack/a"]
    owners.release(storage, "later")
    assert owners.owners(storage) == []

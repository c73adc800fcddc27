"""Locks and preconditions in a bucket, and buckets that keep every object, on the stand-in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model_export import gcs_lock, gcs_storage, locks, owners, publish, resource
from model_export.cli import main
from model_export.gcs_lock import GcsLock
from model_export.locks import BusyError, LockLostError, locked
from model_export.manifest import Manifest
from model_export.resource import ModelExportProvider
from model_export.storage import ChangedError, RetainedError, open_storage
from tests.model_export.conftest import TINY_SPEC
from tests.model_export.fake_gcs import KEPT_UNTIL, FakeGcs, serving
from tests.processes import LIMIT_SECONDS, wait_until

pytestmark = pytest.mark.slow

Model = tuple[Path, Manifest]
URL = "gs://models-1/models/abc"
LOCK = "models/.abc.lock"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with serving(FakeGcs("models-1")) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        monkeypatch.setattr(locks, "EXPIRY_SECONDS", 1.0)
        monkeypatch.setattr(locks, "_LONGEST_PAUSE_SECONDS", 0.1)
        monkeypatch.setattr(gcs_lock, "_REFRESH_SECONDS", 0.05)
        gcs_storage._client.cache_clear()
        yield fake
        gcs_storage._client.cache_clear()


@pytest.fixture
def model(made_up_model: Callable[..., Model]) -> Model:
    return made_up_model()


@pytest.fixture
def objects(gcs: FakeGcs) -> dict[str, tuple[bytes, dict[str, str]]]:
    return gcs.buckets["models-1"]


def lock_of(url: str) -> GcsLock:
    lock = open_storage(url).try_lock()
    assert isinstance(lock, GcsLock)
    return lock


def dies(lock: GcsLock) -> None:
    """It gives no sign of life any more."""
    lock._stopped.set()
    lock._thread.join()


def test_one_process_holds_a_lock_and_removes_it(gcs: FakeGcs, objects: dict[str, Any]) -> None:
    with locked(open_storage(URL), pytest.fail):
        assert list(objects) == [LOCK]
        with pytest.raises(BusyError, match=r"in use by process \d+ on "):
            open_storage(URL).try_lock()
        open_storage("gs://models-1/models/abd").try_lock().close()
    assert objects == {}


def test_a_living_holder_keeps_its_lock_and_a_dead_ones_is_taken_over(
    gcs: FakeGcs, objects: dict[str, Any]
) -> None:
    first = lock_of(URL)
    said: list[str] = []
    taken = threading.Event()

    def wait() -> None:
        with locked(open_storage(URL), said.append):
            taken.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not taken.wait(2 * locks.EXPIRY_SECONDS)
    first.check()
    dies(first)
    assert taken.wait(LIMIT_SECONDS)
    waiting.join()
    assert said[0].endswith(f", which is working on {URL}")
    with pytest.raises(LockLostError, match=r"^gs://models-1/models/\.abc\.lock was taken over"):
        first.check()
    first.close()
    assert objects == {}


def test_a_holder_whose_response_was_lost_still_holds_its_lock(gcs: FakeGcs) -> None:
    lock = lock_of(URL)
    dies(lock)
    lock._generation -= 1  # the write arrived, and its response did not
    lock.check()
    lock.close()
    assert gcs.buckets["models-1"] == {}


def test_a_publisher_that_lost_its_lock_writes_no_manifest(
    gcs: FakeGcs, model: Model, objects: dict[str, Any]
) -> None:
    lock = lock_of(URL)
    dies(lock)
    objects[LOCK] = (b"", {"holder": "process 1 on another", "token": "another's"})
    storage = open_storage(URL)
    with pytest.raises(LockLostError):
        publish.publish(*model, storage, before_manifest=lock.check)
    lock.close()
    assert storage.read("manifest.json") is None
    assert LOCK in objects


def test_only_what_was_seen_is_deleted_or_replaced(
    gcs: FakeGcs, model: Model, objects: dict[str, Any], tmp_path: Path
) -> None:
    late, storage = open_storage(URL), open_storage(URL)
    publish.publish(*model, storage)
    late.sizes()
    assert late.read("manifest.json") is not None
    objects["models/abc/1/saved_model.pb"] = (b"another's", {})
    objects["models/abc/manifest.json"] = (b"{}", {})
    for change in (
        lambda: late.delete("1/saved_model.pb"),
        lambda: late.write(b"ours", "manifest.json"),
        lambda: late.put(model[0] / "1/saved_model.pb", "1/saved_model.pb"),
    ):
        with pytest.raises(ChangedError, match="was changed by another process; run again"):
            change()
    assert objects["models/abc/1/saved_model.pb"] == (b"another's", {})
    assert objects["models/abc/manifest.json"] == (b"{}", {})


def test_what_arrived_although_its_response_was_lost_counts_as_written(
    gcs: FakeGcs, model: Model
) -> None:
    late, first = open_storage(URL), open_storage(URL)
    late.sizes()
    first.write(b"ours", "manifest.json")
    first.put(model[0] / "1/saved_model.pb", "1/saved_model.pb")
    late.write(b"ours", "manifest.json")
    late.put(model[0] / "1/saved_model.pb", "1/saved_model.pb")


def test_in_a_bucket_that_keeps_everything_published_is_published(
    gcs: FakeGcs, model: Model, objects: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    gcs.retains = True
    storage = open_storage(URL)
    with locked(storage, pytest.fail) as lock:
        publish.publish(*model, storage, before_manifest=lock.check)
    assert {"models/abc/manifest.partial.json", LOCK} <= set(objects)
    assert publish.problems(storage) == [] and not publish.is_unfinished(storage)
    publish.publish(*model, open_storage(URL))
    assert main(["inspect", URL]) == 0
    assert "verdict        complete" in capsys.readouterr().out
    before = dict(objects)
    assert main(["delete", URL]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"model_export: {URL} stays as it is: Object 'models-1/models/abc/")
    assert line.endswith(f"retention and cannot be deleted or overwritten until {KEPT_UNTIL}")
    assert objects == before


def test_an_interrupted_upload_to_a_bucket_that_keeps_everything_is_completed(
    gcs: FakeGcs, model: Model, objects: dict[str, Any]
) -> None:
    folder, manifest = model
    gcs.retains = True
    open_storage(URL).write(manifest.to_bytes() + b"\n", "manifest.partial.json")
    open_storage(URL).put(folder / "1/assets/words.txt", "1/assets/words.txt")
    publish.publish(folder, manifest, open_storage(URL))
    assert publish.problems(open_storage(URL)) == []


def test_a_dead_holder_in_a_bucket_that_keeps_everything_locks_nobody_out(
    gcs: FakeGcs, objects: dict[str, Any]
) -> None:
    gcs.retains = True
    dies(lock_of(URL))
    with locked(open_storage(URL), pytest.fail) as lock:
        lock.check()
    assert list(objects) == [LOCK]


def test_a_stack_lets_go_of_a_model_that_its_bucket_keeps(
    gcs: FakeGcs,
    model: Model,
    objects: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gcs.retains = True
    fingerprint = model[1].fingerprint
    url = f"gs://models-1/models/{fingerprint}"

    def run_export(*_: object) -> None:
        publish.publish(*model, open_storage(url))

    monkeypatch.setattr(resource, "_run_export", run_export)
    provider = ModelExportProvider()
    created = provider.create(
        {
            "spec": TINY_SPEC.to_json(),
            "destination": "gs://models-1/models",
            "fingerprint": fingerprint,
            "owner": "diffusion-serving/dev/model",
        }
    )
    assert created.outs is not None
    assert provider.read(created.id, created.outs).id == url
    provider.delete(created.id, created.outs)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{url} stays as it is: Object ")
    assert publish.problems(open_storage(url)) == []


def test_a_hold_is_no_missing_permission(gcs: FakeGcs, model: Model) -> None:
    gcs.retains = True
    storage = open_storage(URL)
    storage.write(b"x", "1/a")
    with pytest.raises(RetainedError):
        storage.delete("1/a")
    with pytest.raises(RetainedError):
        storage.write(b"y", "1/a")


def test_cleaning_up_after_a_dead_publisher_deletes_its_lock(
    gcs: FakeGcs, model: Model, objects: dict[str, Any]
) -> None:
    storage = open_storage(URL)
    publish.publish(*model, storage)
    owners.claim(storage, "diffusion-serving/dev/model", "1")
    dies(lock_of(URL))
    assert main(["delete", "--force", URL]) == 0
    wait_until(lambda: objects == {}, "an empty bucket")

"""Several processes at once on one model folder: none removes what another writes or has adopted.

The processes are real ones; `publisher` makes them slow, so that they meet.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from model_export import gcs_storage, owners, publish, resource
from model_export.locks import locked
from model_export.manifest import Manifest
from model_export.resource import ModelExportProvider
from model_export.storage import FileStorage, Storage, open_storage
from tests.model_export.conftest import ROOT, TINY_SPEC, TINY_WEIGHTS_SHA256, StandInFamily
from tests.model_export.fake_gcs import FakeGcs, serving
from tests.model_export.serving_loader import is_safe
from tests.processes import LIMIT_SECONDS, wait_until

pytestmark = pytest.mark.slow

Model = tuple[Path, Manifest]
FINGERPRINT = TINY_SPEC.fingerprint(TINY_WEIGHTS_SHA256)
SPEC = json.dumps(TINY_SPEC.to_json())
SLOWLY = "0.02"
"""Up to so many seconds for every file."""


@pytest.fixture
def prepared(made_up_model: Callable[..., Model]) -> Model:
    folder, manifest = made_up_model()
    (folder / "manifest.json").write_bytes(manifest.to_bytes())
    return folder, manifest


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Publishers stop at it until it is removed."""
    gate = tmp_path / "gate"
    gate.touch()
    return gate


def test_a_file_system_without_locks_can_be_used_by_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a model that was published there can be replaced and deleted."""

    def flock(_file: object, _operation: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr("fcntl.flock", flock)
    storage = FileStorage((tmp_path / "0123456789abcdef").as_uri())
    with locked(storage) as lock:
        lock.check()
    assert list(tmp_path.iterdir()) == []
    assert "file system without locks" in capsys.readouterr().out


class Publishers:
    """Starts and ends processes of the exporter's command line."""

    def __init__(self, prepared: Path, environment: dict[str, str], output: Path) -> None:
        self._prepared, self._environment, self._output = prepared, environment, output
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, pause: object, *arguments: str) -> subprocess.Popen[bytes]:
        with self._output_of(len(self.started)).open("w") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.model_export.publisher"),
                    *(str(self._prepared), str(pause), *arguments),
                ],
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process

    def export(self, pause: object, base: str) -> subprocess.Popen[bytes]:
        return self.start(pause, "export", "--spec", SPEC, "--to", base)

    def said(self, process: subprocess.Popen[bytes]) -> str:
        return self._output_of(self.started.index(process)).read_text()

    def result(self, process: subprocess.Popen[bytes]) -> int:
        return process.wait(LIMIT_SECONDS)

    def _output_of(self, number: int) -> Path:
        return self._output.with_name(f"{self._output.name}-{number}")


@pytest.fixture
def publishers(
    prepared: Model, stand_in_family: StandInFamily, tmp_path: Path
) -> Iterator[Publishers]:
    running = Publishers(prepared[0], stand_in_family.environment, tmp_path / "output")
    yield running
    for process in running.started:
        process.kill()
        process.wait()


@pytest.fixture
def base(tmp_path: Path) -> str:
    return f"file://{tmp_path}/models"


@pytest.fixture
def storage(base: str) -> Storage:
    return FileStorage(f"{base}/{FINGERPRINT}")


def stands_at(gate: Path, process: subprocess.Popen[bytes]) -> None:
    there = gate.with_name(f"{gate.name}.{process.pid}")
    wait_until(lambda: there.exists() or process.poll() is not None, "a publisher at the gate")
    assert process.poll() is None


def test_cleaning_leaves_what_another_process_is_publishing(
    publishers: Publishers, gate: Path, base: str, storage: Storage
) -> None:
    first = publishers.export(gate, base)
    stands_at(gate, first)
    before = storage.sizes()
    assert publish.PARTIAL_MANIFEST_NAME in before
    cleaning = publishers.start(gate, "clean", base)
    assert publishers.result(cleaning) == 0
    assert storage.sizes() == before
    said = publishers.said(cleaning)
    assert f"left to process {first.pid} on " in said and "removed nothing" in said
    gate.unlink()
    assert publishers.result(first) == 0, publishers.said(first)
    assert publish.problems(storage) == []


def test_a_second_publisher_waits_for_the_first_and_adopts_what_it_published(
    publishers: Publishers, gate: Path, base: str, storage: Storage
) -> None:
    first = publishers.export(gate, base)
    stands_at(gate, first)
    second = publishers.export(gate, base)
    wait_until(lambda: publishers.said(second) != "", "a line of the second publisher")
    gate.unlink()
    assert publishers.result(first) == publishers.result(second) == 0
    waiting, adopted = publishers.said(second).splitlines()
    assert waiting.startswith(f"waiting for process {first.pid} on ")
    assert adopted == f"{storage.url} has been published by another process and is complete"
    assert publish.problems(storage) == []


def test_interrupting_a_second_publisher_removes_nothing_of_the_firsts(
    publishers: Publishers, gate: Path, base: str, storage: Storage
) -> None:
    first = publishers.export(gate, base)
    stands_at(gate, first)
    second = publishers.export(gate, base)
    wait_until(lambda: publishers.said(second) != "", "a line of the second publisher")
    second.send_signal(signal.SIGINT)
    assert publishers.result(second) == 130
    gate.unlink()
    assert publishers.result(first) == 0, publishers.said(first)
    assert publish.problems(storage) == []


def test_a_deletion_waits_for_a_publisher(
    publishers: Publishers, gate: Path, base: str, storage: Storage
) -> None:
    first = publishers.export(gate, base)
    stands_at(gate, first)
    deleting = publishers.start(gate, "delete", storage.url)
    wait_until(lambda: publishers.said(deleting) != "", "a line of the deletion")
    gate.unlink()
    assert publishers.result(first) == publishers.result(deleting) == 0
    assert publishers.said(deleting).splitlines()[-1] == f"deleted {storage.url} (6 files)"
    assert storage.sizes() == {}


def test_a_killed_publisher_holds_nobody_up(
    publishers: Publishers, gate: Path, base: str, storage: Storage
) -> None:
    first = publishers.export(gate, base)
    stands_at(gate, first)
    first.kill()
    first.wait()
    gate.unlink()
    second = publishers.export(gate, base)
    assert publishers.result(second) == 0
    assert "waiting" not in publishers.said(second)
    assert publish.problems(storage) == []
    assert [path.name for path in Path(base.removeprefix("file://")).iterdir()] == [FINGERPRINT]


def test_a_lock_has_one_holder_at_a_time(storage: Storage, base: str) -> None:
    """Each holder removes the file, while others are opening it."""
    holders: list[int] = []
    most = 0

    def hold(number: int) -> None:
        nonlocal most
        for _ in range(30):
            with locked(storage, lambda _line: None) as lock:
                holders.append(number)
                most = max(most, len(holders))
                time.sleep(0.0005)
                holders.remove(number)
                lock.check()

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(6)]
    with mock.patch("model_export.locks._LONGEST_PAUSE_SECONDS", 0.001):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_SECONDS)
    assert most == 1 and holders == []
    assert list(Path(base.removeprefix("file://")).iterdir()) == []


Snapshot = Callable[[], dict[str, bytes]]


def fight(
    publishers: Publishers, base: str, url: str, manifest: Manifest, seen: Snapshot, rounds: int
) -> None:
    """Publishers and deletions at once, one of them killed at a random moment, round by round."""
    chosen = random.Random(20261128)
    for _ in range(rounds):
        deletes = chosen.random() < 0.5
        running = [publishers.export(SLOWLY, base) for _ in range(2)]
        if deletes:
            running.append(publishers.start(SLOWLY, "delete", url))
        time.sleep(chosen.uniform(0.2, 1.2))
        killed = chosen.choice(running)
        killed.send_signal(chosen.choice([signal.SIGKILL, signal.SIGINT]))
        while any(process.poll() is None for process in running):
            assert is_safe(seen(), manifest)
            time.sleep(0.02)
        codes = [publishers.result(process) for process in running]
        story = [publishers.said(process) for process in running]
        complete = publish.problems(open_storage(url)) == []
        assert complete or publish.MANIFEST_NAME not in seen(), story
        if not deletes:
            survivors = [
                code for code, process in zip(codes, running, strict=True) if process is not killed
            ]
            assert survivors == [0] and complete, story
    last = publishers.export("0", base)
    assert publishers.result(last) == 0, publishers.said(last)
    assert publish.problems(open_storage(url)) == []


@pytest.mark.parametrize("rounds", [2, pytest.param(60, marks=pytest.mark.long)])
def test_publishers_that_are_killed_at_random_leave_a_whole_model_or_none(
    rounds: int, publishers: Publishers, base: str, storage: Storage, prepared: Model
) -> None:
    folder = Path(storage.url.removeprefix("file://"))

    def seen() -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        # The graph first: what it needs must be there when it is.
        for path in sorted(storage.sizes(), key=lambda path: not path.endswith("saved_model.pb")):
            with contextlib.suppress(FileNotFoundError):
                found[path] = (folder / path).read_bytes()
        return found

    fight(publishers, base, storage.url, prepared[1], lambda: stable(seen), rounds)


def stable(seen: Snapshot) -> dict[str, bytes]:
    """A snapshot that no write or deletion overlapped."""
    before = seen()
    while (after := seen()) != before:
        before = after
    return after


@pytest.fixture
def gcs(stand_in_family: StandInFamily, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with serving(FakeGcs("models-1")) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        stand_in_family.environment["STORAGE_EMULATOR_HOST"] = fake.url
        gcs_storage._client.cache_clear()
        yield fake
        gcs_storage._client.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=pytest.mark.long)])
def test_publishers_to_a_bucket_that_are_killed_at_random_leave_a_whole_model_or_none(
    rounds: int, gcs: FakeGcs, publishers: Publishers, prepared: Model
) -> None:
    url = f"gs://models-1/models/{FINGERPRINT}"
    prefix = f"models/{FINGERPRINT}/"

    def seen() -> dict[str, bytes]:
        with gcs.mutex:
            return {
                name.removeprefix(prefix): content
                for name, (content, _) in gcs.buckets["models-1"].items()
                if name.startswith(prefix)
            }

    fight(publishers, "gs://models-1/models", url, prepared[1], seen, rounds)


def inputs(base: str, stack: str) -> dict[str, Any]:
    return {
        "spec": TINY_SPEC.to_json(),
        "destination": base,
        "fingerprint": FINGERPRINT,
        "owner": f"diffusion-serving/{stack}/model",
    }


@pytest.fixture
def published_in_no_time(
    prepared: Model, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """The resource's exports publish the prepared model at once, and are counted."""
    exports: list[str] = []

    def run_export(*_: object) -> None:
        exports.append(storage.url)
        publish.publish(*prepared, FileStorage(storage.url))

    monkeypatch.setattr(resource, "_run_export", run_export)
    yield exports


def test_a_model_that_its_last_owner_is_deleting_is_not_adopted(
    storage: Storage,
    base: str,
    published_in_no_time: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = ModelExportProvider()
    old = provider.create(inputs(base, "one"))
    deleting, go_on = threading.Event(), threading.Event()
    delete = publish.delete

    def slow_delete(storage: Storage) -> int:
        deleting.set()
        assert go_on.wait(LIMIT_SECONDS)
        return delete(storage)

    monkeypatch.setattr(publish, "delete", slow_delete)
    leaving = threading.Thread(target=provider.delete, args=(old.id, old.outs))
    coming = threading.Thread(target=provider.create, args=(inputs(base, "two"),))
    leaving.start()
    assert deleting.wait(LIMIT_SECONDS)
    coming.start()
    coming.join(0.3)  # time for it to adopt the model, if it would
    go_on.set()
    leaving.join(LIMIT_SECONDS)
    coming.join(LIMIT_SECONDS)
    assert publish.problems(storage) == []
    assert owners.owners(storage) == ["diffusion-serving/two/model"]
    assert len(published_in_no_time) == 2


def test_a_model_that_another_stack_is_adopting_is_not_deleted(
    storage: Storage,
    base: str,
    published_in_no_time: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = ModelExportProvider()
    old = provider.create(inputs(base, "one"))
    problems = publish.problems
    leaving = threading.Thread(target=provider.delete, args=(old.id, old.outs))

    def delete_meanwhile(storage: Storage, *, checksums: bool = True) -> list[str]:
        found = problems(storage, checksums=checksums)
        leaving.start()
        leaving.join(0.3)  # time for it to delete the model, if it would
        return found

    monkeypatch.setattr(publish, "problems", delete_meanwhile)
    provider.create(inputs(base, "two"))
    leaving.join(LIMIT_SECONDS)
    assert problems(storage) == []
    assert owners.owners(storage) == ["diffusion-serving/two/model"]


def test_a_create_that_fails_withdraws_its_claim(
    base: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[list[str]] = []

    def fail(*_: object) -> None:
        claims.append(owners.owners(storage))
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(resource, "_run_export", fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        ModelExportProvider().create(inputs(base, "one"))
    assert claims == [["diffusion-serving/one/model"]]
    assert list(Path(base.removeprefix("file://")).iterdir()) == []

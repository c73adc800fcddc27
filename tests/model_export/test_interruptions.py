"""Interrupted publishing to a bucket: no server ever finds half a model, and a rerun sends only
what is missing.

The cuts are at random calls of the transport, some before the request leaves and some after the
service has done it, and some are a SIGKILL of the whole process.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from model_export import gcs_storage, publish
from model_export.manifest import Manifest
from model_export.storage import open_storage
from tests.model_export.conftest import ROOT
from tests.model_export.fake_gcs import FakeGcs, serving
from tests.model_export.serving_loader import is_safe

BUCKET, PREFIX = "models-1", "models/abc/"
URL = f"gs://{BUCKET}/{PREFIX.rstrip('/')}"
LARGE = "shard " * 120_000
"""Sent in three parts of CHUNK_BYTES, so that a cut can come in the middle of a file."""
CHUNK_BYTES = 256 * 1024
REQUESTS = 24
"""More than a publish needs, so that some runs are not interrupted at all."""
CUTS = 130
REPLACING_CUTS = 50
DELETING_CUTS = 30

Model = tuple[Path, Manifest]


class PowerCutError(Exception):
    """Stands in for the end of the process."""


class Transport:
    """All requests of this process; from the nth on, none gets through.

    With `after`, the nth still reaches the service, and only the response to it is lost.
    """

    def __init__(self) -> None:
        self.real = requests.Session.request
        self._lock = threading.Lock()
        self.restore()

    def cut(self, nth: int, *, after: bool) -> None:
        self._left, self._after = nth, after

    def restore(self) -> None:
        self.cut(1_000_000, after=False)

    def request(self, session: requests.Session, *args: Any, **options: Any) -> Any:
        with self._lock:
            self._left -= 1
            left = self._left
        if left < 0 and not (left == -1 and self._after):
            raise PowerCutError
        response = self.real(session, *args, **options)
        if left == -1:
            raise PowerCutError
        return response


@pytest.fixture(scope="module")
def service() -> Iterator[FakeGcs]:
    with serving(FakeGcs(BUCKET)) as fake:
        yield fake


@pytest.fixture
def gcs(service: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", service.url)
    monkeypatch.setattr(gcs_storage, "_CHUNK_BYTES", CHUNK_BYTES)
    gcs_storage._client.cache_clear()
    service.buckets[BUCKET].clear()
    service.log.clear()
    yield service
    gcs_storage._client.cache_clear()


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> Transport:
    transport = Transport()

    def through(session: requests.Session, *args: Any, **options: Any) -> Any:
        return transport.request(session, *args, **options)

    monkeypatch.setattr(requests.Session, "request", through)
    return transport


@pytest.fixture
def model(made_up_model: Callable[..., Model]) -> Model:
    return made_up_model(**{"1/variables/variables.data-00000-of-00002": LARGE})


def contents(gcs: FakeGcs) -> dict[str, bytes]:
    objects = gcs.buckets[BUCKET]
    return {name.removeprefix(PREFIX): content for name, (content, _) in objects.items()}


def whole_files(gcs: FakeGcs, manifest: Manifest) -> set[str]:
    from hashlib import sha256

    found = contents(gcs)
    return {
        file.path
        for file in manifest.files
        if file.path in found and sha256(found[file.path]).hexdigest() == file.sha256
    }


def sent(gcs: FakeGcs) -> list[str]:
    put = [line.removeprefix("put ") for line in gcs.log if line.startswith("put ")]
    return [name.removeprefix(PREFIX) for name in put]


def cuts(count: int) -> Iterator[tuple[int, bool]]:
    """Every early request, once before it is done and once after, and then random ones."""
    chosen = random.Random(20261122)
    for i in range(count):
        nth = i // 2 % REQUESTS if i < 2 * REQUESTS else chosen.randrange(REQUESTS)
        yield nth, bool(i % 2 if i < 2 * REQUESTS else chosen.randrange(2))


@pytest.mark.slow
def test_a_cut_upload_never_loads_and_the_rerun_sends_only_what_is_missing(
    gcs: FakeGcs, transport: Transport, model: Model
) -> None:
    folder, manifest = model
    finished = 0
    for nth, after in cuts(CUTS):
        gcs.buckets[BUCKET].clear()
        transport.cut(nth, after=after)
        try:
            publish.publish(folder, manifest, open_storage(URL))
            finished += 1
        except PowerCutError:
            pass
        transport.restore()
        assert is_safe(contents(gcs), manifest), (nth, after)
        if publish.MANIFEST_NAME in contents(gcs):
            assert publish.problems(open_storage(URL)) == []
        there = whole_files(gcs, manifest)
        gcs.log.clear()
        publish.publish(folder, manifest, open_storage(URL))
        names = {file.path for file in manifest.files}
        assert sorted(set(sent(gcs)) & names) == sorted(names - there), (nth, after)
        assert publish.problems(open_storage(URL)) == []
        assert set(contents(gcs)) == {*names, publish.MANIFEST_NAME}
    assert 0 < finished < CUTS


@pytest.mark.slow
def test_a_model_that_replaces_another_of_its_name_never_mixes_with_it(
    gcs: FakeGcs, transport: Transport, model: Model, made_up_model: Callable[..., Model]
) -> None:
    other = made_up_model(
        "other",
        **{
            "1/variables/variables.data-00000-of-00002": LARGE.upper(),
            "1/saved_model.pb": "graphs",
            "1/assets/more.txt": "more",
        },
    )
    for nth, after in cuts(REPLACING_CUTS):
        gcs.buckets[BUCKET].clear()
        publish.publish(*other, open_storage(URL))
        transport.cut(nth, after=after)
        with contextlib.suppress(PowerCutError):
            publish.publish(*model, open_storage(URL))
        transport.restore()
        assert is_safe(contents(gcs), model[1], other[1]), (nth, after)
        publish.publish(*model, open_storage(URL))
        assert publish.problems(open_storage(URL)) == []
        names = {file.path for file in model[1].files}
        assert set(contents(gcs)) == {*names, publish.MANIFEST_NAME}


@pytest.mark.slow
def test_a_cut_delete_leaves_nothing_that_loads_and_can_be_repeated(
    gcs: FakeGcs, transport: Transport, model: Model
) -> None:
    for nth, after in cuts(DELETING_CUTS):
        gcs.buckets[BUCKET].clear()
        gcs.buckets[BUCKET]["models/abcd/1/saved_model.pb"] = (b"a neighbour", {})
        gcs.buckets[BUCKET][f"{PREFIX}1/notes.txt"] = (b"somebody's", {})
        publish.publish(*model, open_storage(URL))
        transport.cut(nth, after=after)
        with contextlib.suppress(PowerCutError):
            publish.delete(open_storage(URL))
        transport.restore()
        assert is_safe(contents(gcs), model[1]), (nth, after)
        publish.delete(open_storage(URL))
        assert set(gcs.buckets[BUCKET]) == {
            "models/abcd/1/saved_model.pb",
            f"{PREFIX}1/notes.txt",
        }


PUBLISH = """
import sys
from pathlib import Path
from model_export import gcs_storage, publish
from model_export.manifest import Manifest
from model_export.storage import open_storage

folder = Path(sys.argv[1])
gcs_storage._CHUNK_BYTES = int(sys.argv[3])
manifest = Manifest.from_bytes((folder / "manifest.json").read_bytes())
publish.publish(folder, manifest, open_storage(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("nth", [3, 7, 9, 11, 13])
def test_a_killed_upload_never_loads_and_the_rerun_completes_it(
    nth: int, gcs: FakeGcs, model: Model
) -> None:
    folder, manifest = model
    (folder / "manifest.json").write_bytes(manifest.to_bytes())
    started = threading.Event()
    seen: list[int] = []

    def kill_at_the_nth() -> None:
        seen.append(1)
        if len(seen) == nth:
            started.wait()
            os.kill(process.pid, signal.SIGKILL)

    gcs.before_request = kill_at_the_nth
    process = subprocess.Popen(
        [sys.executable, "-c", PUBLISH, str(folder), URL, str(CHUNK_BYTES)], cwd=ROOT
    )
    started.set()
    assert process.wait() == -signal.SIGKILL
    gcs.before_request = lambda: None
    assert is_safe(contents(gcs), manifest)
    there = whole_files(gcs, manifest)
    gcs.log.clear()
    publish.publish(folder, manifest, open_storage(URL))
    assert not set(sent(gcs)) & there
    assert publish.problems(open_storage(URL)) == []

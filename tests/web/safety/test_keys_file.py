"""The keys' file is read again while the service runs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.web.keys import ALICE, BOB, CAROL, document, mount, write
from web.safety import keys_file
from web.safety.keys import KeysError
from web.safety.keys_file import MAX_BYTES, KeysFile

Told = list[tuple[set[str], set[str]]]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_file, "LOOK_SECONDS", 0.01)


def watched(path: Path, check: Callable[[KeysFile, Told], Awaitable[None]]) -> None:
    """Runs `check` while the file is watched."""

    async def main() -> None:
        file, told = KeysFile(str(path)), Told()
        file.watch(lambda removed, names: told.append((set(removed), set(names))))
        try:
            await check(file, told)
        finally:
            file.stop()

    asyncio.run(main())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_replaced_file_counts_and_the_names_that_are_gone_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.json", ("alice", ALICE), ("bob", BOB))

    async def check(file: KeysFile, told: Told) -> None:
        write(path, ("alice", CAROL))
        await until(lambda: told)
        assert told == [({"bob"}, {"alice"})]
        assert file.keys.name_of(CAROL.encode()) == "alice"
        assert file.keys.name_of(ALICE.encode()) is None

    watched(path, check)


def test_a_file_that_is_written_in_place_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.json", ("alice", ALICE))
    old = path.stat()

    async def check(file: KeysFile, told: Told) -> None:
        path.write_text(document(("alice", BOB[: len(ALICE)])))
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))  # its times may tell nothing
        await until(lambda: told)
        assert file.keys.name_of(ALICE.encode()) is None

    watched(path, check)


def test_a_link_that_is_moved_as_kubernetes_does_counts(tmp_path: Path) -> None:
    path = mount(tmp_path / "mounted", "..1", ("alice", ALICE))

    async def check(file: KeysFile, told: Told) -> None:
        for version, key in (("..2", BOB), ("..3", CAROL)):
            mount(tmp_path / "mounted", version, ("alice", key))
            await until(lambda key=key: file.keys.name_of(key.encode()))
        assert file.keys.name_of(ALICE.encode()) is None

    watched(path, check)


@pytest.mark.parametrize(
    "content", ["", "no JSON", '{"keys": [{"name": "alice", "sha256": "SECRET"}]}', "x" * MAX_BYTES]
)
def test_an_unreadable_file_keeps_the_keys_and_is_said_once_in_the_log(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "keys.json", ("alice", ALICE))

    async def check(file: KeysFile, told: Told) -> None:
        path.write_text(f"{content} ")
        await until(lambda: caplog.records)
        await asyncio.sleep(0.1)
        assert file.keys.name_of(ALICE.encode()) == "alice"
        assert not told
        [record] = caplog.records
        assert str(path) in record.getMessage()
        assert "the keys stay as they were" in record.getMessage()
        assert "SECRET" not in record.getMessage()
        write(path, ("bob", BOB))
        await until(lambda: told)
        assert file.keys.name_of(BOB.encode()) == "bob"

    with caplog.at_level("WARNING"):
        watched(path, check)


def test_a_file_that_is_taken_away_keeps_the_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "keys.json", ("alice", ALICE))

    async def check(file: KeysFile, told: Told) -> None:
        path.unlink()
        await until(lambda: "No such file" in caplog.text)
        assert file.keys.name_of(ALICE.encode()) == "alice"

    watched(path, check)


def test_an_empty_list_leaves_nobody(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.json", ("alice", ALICE))

    async def check(file: KeysFile, told: Told) -> None:
        write(path)
        await until(lambda: told)
        assert told == [({"alice"}, set())]
        assert file.keys.name_of(ALICE.encode()) is None

    watched(path, check)


def test_a_file_system_that_hangs_holds_up_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.json", ("alice", ALICE))
    pipe = tmp_path / "hangs"
    os.mkfifo(pipe)

    async def check(file: KeysFile, told: Told) -> None:
        pipe.rename(path)  # to open it takes until somebody writes
        longest, last = 0.0, time.monotonic()
        for _ in range(50):
            await asyncio.sleep(0.01)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        assert longest < 0.4
        assert file.keys.name_of(ALICE.encode()) == "alice"
        # What comes late counts all the same.
        await asyncio.to_thread(path.write_text, document(("bob", BOB)))
        await until(lambda: told)
        assert file.keys.name_of(BOB.encode()) == "bob"
        write(path, ("bob", BOB))

    watched(path, check)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_text("{}"), "not understood: keys: "),
        (lambda path: path.write_bytes(b" " * (MAX_BYTES + 1)), f"more than {MAX_BYTES} bytes"),
    ],
)
def test_without_readable_keys_it_does_not_start(
    make: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    make(path)
    with pytest.raises(KeysError, match=said) as refused:
        KeysFile(str(path))
    assert str(path) in str(refused.value)

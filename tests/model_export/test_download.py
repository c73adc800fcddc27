"""Downloading weights: resumed, checked, kept, and explained in one line when it fails."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_export import download as downloading
from model_export.checksums import Checksums
from model_export.download import RemoteFile, WeightsError, download, verified
from model_export.families import family
from model_export.sd14 import licence, weights
from model_export.spec import WEIGHTS_LICENCE, ModelSpec
from tests.model_export.file_server import FileServer, serving

CONTENT = bytes(range(256)) * 9000
OFFICIAL = ModelSpec.for_family("sd14", accept_licence=WEIGHTS_LICENCE)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(downloading, "_RETRY_PAUSES_SECONDS", (0.0, 0.0))
    with serving(FileServer(weights=CONTENT)) as running:
        yield running


def remote(server: FileServer, content: bytes = CONTENT, path: str = "weights") -> RemoteFile:
    checksum = hashlib.sha256(content).hexdigest()
    return RemoteFile("weights", f"{server.url}/{path}", checksum, len(content))


def test_a_file_is_downloaded_once_and_checked_every_time(
    server: FileServer, tmp_path: Path
) -> None:
    heard: list[int] = []
    path = download(remote(server), tmp_path, heard.append)
    assert path == tmp_path / "weights" and path.read_bytes() == CONTENT
    assert heard == sorted(heard) and heard[-1] == len(CONTENT)
    assert download(remote(server), tmp_path) == path
    assert server.asked == [None]


def test_a_redirection_is_followed(server: FileServer, tmp_path: Path) -> None:
    path = download(remote(server, path="moved/weights"), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_connection_that_breaks_is_taken_up_where_it_stopped(
    server: FileServer, tmp_path: Path
) -> None:
    server.cuts = [1_000_000, 300_000]
    assert download(remote(server), tmp_path).read_bytes() == CONTENT
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.asked[1:] if asked]
    assert len(starts) == 2 and 900_000 < starts[0] <= 1_000_000
    assert starts[0] + 200_000 < starts[1] <= starts[0] + 300_000


def test_an_interrupted_run_goes_on_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int) -> None:
        if done > 1_000_000:
            raise StopError

    with pytest.raises(StopError):
        download(remote(server), tmp_path, stop)
    assert not (tmp_path / "weights").exists()
    left = (tmp_path / "weights.part").stat().st_size
    assert left > 1_000_000
    assert download(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.asked[1:] == [f"bytes={left}-"]


def test_a_server_without_ranges_sends_all_of_it_again(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [1_000_000]
    assert download(remote(server), tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_whole_is_only_checked(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "weights.part").write_bytes(CONTENT)
    assert download(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("left", [b"of another file", b"x" * (len(CONTENT) + 5)])
def test_what_is_left_of_another_file_is_thrown_away(
    left: bytes, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "weights.part").write_bytes(left)
    assert download(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] is None


def test_a_kept_file_that_was_damaged_is_downloaded_again(
    server: FileServer, tmp_path: Path
) -> None:
    path = download(remote(server), tmp_path)
    path.write_bytes(CONTENT[:-1] + b"!")
    assert download(remote(server), tmp_path).read_bytes() == CONTENT


def test_another_content_than_expected_is_never_used(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"SHA-256 differs\): try again, or download it another way"
    ):
        download(remote(server, b"expected"), tmp_path)
    assert not (tmp_path / "weights").exists() and not (tmp_path / "weights.part").exists()


def test_a_busy_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert download(remote(server), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("statuses", "message"),
    [
        ([404], "the server responded 404 Not Found: download it another way, to /"),
        ([401], "the server responded 401 Unauthorized: download it another way, to /"),
        ([500] * 9, "500 Server Error.*check the network and run again"),
    ],
)
def test_a_server_that_refuses_is_one_line(
    statuses: list[int], message: str, server: FileServer, tmp_path: Path
) -> None:
    server.statuses = statuses
    with pytest.raises(WeightsError, match=message) as error:
        download(remote(server), tmp_path)
    assert "\n" not in str(error.value)


def test_no_network_is_one_line(server: FileServer, tmp_path: Path) -> None:
    file = RemoteFile("weights", "http://127.0.0.1:9/weights", "0" * 64, 1)
    with pytest.raises(
        WeightsError, match="Connection refused: check the network and run again"
    ) as error:
        download(file, tmp_path)
    assert str(error.value).endswith(f"or download it another way, to {tmp_path / 'weights'}")


def test_two_downloads_of_one_file_wait_for_each_other(server: FileServer, tmp_path: Path) -> None:
    done: list[Path] = []
    file = remote(server)
    threads = [
        threading.Thread(target=lambda: done.append(download(file, tmp_path))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [tmp_path / "weights"] * 4
    assert server.asked == [None]


def test_a_file_of_a_folder_is_checked(server: FileServer, tmp_path: Path) -> None:
    checksums = Checksums(tmp_path / "checksums.json")
    with pytest.raises(WeightsError, match="weights is missing: download http"):
        verified(tmp_path / "weights", remote(server), checksums)
    (tmp_path / "weights").write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"\(its SHA-256 differs\): download it again"):
        verified(tmp_path / "weights", remote(server), checksums)
    (tmp_path / "weights").write_bytes(CONTENT)
    assert verified(tmp_path / "weights", remote(server), checksums) == tmp_path / "weights"


LICENCE_TEXT = "The licence\n\nEND\n\nAttachment A\n\nUse Restrictions\n\nYou agree not to.\n"


@pytest.fixture
def official(server: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FileServer:
    """Small files in place of the official ones."""

    def small(name: str, content: bytes) -> RemoteFile:
        server.files[name] = content
        checksum = hashlib.sha256(content).hexdigest()
        return RemoteFile(name, f"{server.url}/{name}", checksum, len(content))

    parts = [weights.Part(part.name, small(part.file.name, CONTENT)) for part in weights.PARTS]
    monkeypatch.setattr(weights, "PARTS", tuple(parts))
    monkeypatch.setattr(weights, "LICENCE_FILE", small("LICENSE", LICENCE_TEXT.encode()))
    monkeypatch.setenv("DIFFUSION_SERVING_CACHE", str(tmp_path / "cache"))
    return server


NAMES = {"LICENSE", "kcv_encoder.h5", "kcv_diffusion_model.h5", "kcv_decoder.h5"}


def test_the_official_files_come_with_their_licence(official: FileServer, tmp_path: Path) -> None:
    heard: list[float] = []
    weights.fetch(OFFICIAL, heard.append)
    present = {p.name for p in (tmp_path / "cache").iterdir() if not p.name.startswith(".")}
    assert present == NAMES
    assert heard == sorted(heard) and heard[-1] == 1.0
    asked = len(official.asked)
    weights.fetch(OFFICIAL)
    assert len(official.asked) == asked
    texts = licence.files(OFFICIAL)
    assert texts["LICENSE"] == LICENCE_TEXT
    assert texts["USE_RESTRICTIONS"].startswith("Attachment A\n\nUse Restrictions")
    assert "Modified: " in texts["NOTICE"] and "384 px" in texts["NOTICE"]
    assert family("sd14").licence(OFFICIAL) == "CreativeML Open RAIL-M"


def test_a_folder_with_the_official_files_is_the_same_model(
    official: FileServer, tmp_path: Path
) -> None:
    folder = tmp_path / "by hand"
    spec = ModelSpec.for_family("sd14", accept_licence=WEIGHTS_LICENCE, weights=str(folder))
    assert weights.checksum(spec) == weights.checksum(OFFICIAL)
    assert spec.fingerprint("f") == OFFICIAL.fingerprint("f")
    assert spec.published() == OFFICIAL
    with pytest.raises(WeightsError, match="LICENSE is missing: download "):
        weights.fetch(spec)
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(official.files[name])
    weights.fetch(spec)
    assert official.asked == []
    assert licence.files(spec)["LICENSE"] == LICENCE_TEXT
    (folder / "kcv_decoder.h5").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"kcv_decoder\.h5 is not http"):
        weights.fetch(spec)


def test_random_weights_need_no_file(official: FileServer) -> None:
    spec = ModelSpec.for_family("sd14", weights="random")
    weights.fetch(spec)
    assert official.asked == []
    assert set(licence.files(spec)) == {"LICENSE", "NOTICE"}


def test_a_full_disk_is_told_with_the_file(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as error:
        download(remote(server), tmp_path)
    assert error.value.errno == errno.ENOSPC
    assert os.fspath(error.value.filename).endswith("weights.part")


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({}, "accept_licence"),
        ({"accept_licence": "MIT"}, "accept_licence"),
        ({"weights": "here"}, "weights"),
        ({"weights": "bundled"}, "weights"),
        ({"weights": "random:x"}, "weights"),
        ({"weights": "random:-1"}, "weights"),
        ({"weights": "random:4294967296"}, "weights"),
        ({"weights": "random", "image_size": 320}, "image_size"),
        ({"weights": "random", "image_size": 896}, "image_size"),
        ({"weights": "random", "precision": "float16"}, "precision"),
    ],
)
def test_a_spec_that_cannot_be_built_names_the_key(values: dict[str, str], key: str) -> None:
    from model_export.spec import SpecError

    with pytest.raises(SpecError) as error:
        ModelSpec.for_family("sd14", **values)
    assert error.value.key == key


def test_a_random_model_without_a_seed_has_seed_0() -> None:
    plain = ModelSpec.for_family("sd14", weights="random")
    assert plain == ModelSpec.for_family("sd14", weights="random:0")
    assert plain.random_seed == 0


def test_without_a_home_folder_one_line_asks_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(weights.CACHE_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(WeightsError, match=f"set {weights.CACHE_VARIABLE} to a folder"):
        weights.cache_folder()

"""The layer: the same bytes everywhere, and nothing that the service could write."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from container_image.errors import ImageError
from container_image.layer import Layer, write_layer
from container_image.sources import sources
from tests.container_image.checkouts import checkout, wheel


def layer_of(root: Path, *wheels: Path) -> tuple[Layer, Path]:
    file = root / "layer"
    return write_layer(root, sources(root), wheels, file), file


def a_wheel(folder: Path, **files: str) -> Path:
    file = folder / f"{next(iter(files))}-1.0-py3-none-any.whl"
    file.write_bytes(wheel({name.replace("__", "/"): text for name, text in files.items()}))
    return file


def names(file: Path) -> list[str]:
    with tarfile.open(file) as archive:
        return archive.getnames()


def test_another_path_umask_time_and_order_give_the_same_bytes(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        one = checkout(tmp_path / "one")
        os.umask(0o077)
        other = checkout(tmp_path / "deeper" / "other")
    finally:
        os.umask(before)
    for file in other.rglob("*"):
        os.utime(file, (1, 1))
    (other / "web" / "answer.py").chmod(0o777)
    wheels = [a_wheel(tmp_path, b__c="2"), a_wheel(tmp_path, a__d="1")]
    first, first_file = layer_of(one, *wheels)
    second, second_file = layer_of(other, *reversed(wheels))
    assert first_file.read_bytes() == second_file.read_bytes()
    assert (first.blob.digest, first.diff_id) == (second.blob.digest, second.diff_id)


def test_digests_and_size_are_those_of_the_file(root: Path) -> None:
    layer, file = layer_of(root)
    content = file.read_bytes()
    assert layer.blob.digest == f"sha256:{sha256(content).hexdigest()}"
    assert layer.blob.size == len(content)
    assert layer.diff_id == f"sha256:{sha256(gzip.decompress(content)).hexdigest()}"


def test_all_is_roots_and_nobody_elses_to_write(root: Path, tmp_path: Path) -> None:
    _, file = layer_of(root, a_wheel(tmp_path, a__b="1"))
    with tarfile.open(file) as archive:
        members = archive.getmembers()
    assert {(one.uid, one.gid, one.uname, one.mtime) for one in members} == {(0, 0, "", 0)}
    assert {one.mode for one in members if one.isdir()} == {0o755}
    assert {one.mode for one in members if one.isfile()} == {0o644}
    assert all(one.isdir() or one.isfile() for one in members)


def test_every_file_comes_after_its_folders(root: Path) -> None:
    _, file = layer_of(root)
    seen = {"."}
    for name in names(file):
        assert str(Path(name).parent) in seen, name
        seen.add(name)


def test_wheels_are_unpacked_as_pip_would_without_scripts(root: Path, tmp_path: Path) -> None:
    packed = tmp_path / "a-1.0-py3-none-any.whl"
    packed.write_bytes(
        wheel(
            {
                "a/__init__.py": "",
                "a-1.0.data/purelib/a/pure.py": "",
                "a-1.0.data/platlib/a/plat.so": "",
                "a-1.0.data/scripts/run": "",
                "a-1.0.dist-info/METADATA": "",
            }
        )
    )
    _, file = layer_of(root, packed)
    found = {name.removeprefix("app/site/") for name in names(file) if "site/" in name}
    assert found == {
        *("a", "a/__init__.py", "a/pure.py", "a/plat.so"),
        *("a-1.0.dist-info", "a-1.0.dist-info/METADATA"),
    }


def test_two_packages_with_one_file_are_refused(root: Path, tmp_path: Path) -> None:
    wheels = (a_wheel(tmp_path, a__x="1"), a_wheel(tmp_path, b="1", a__x="2"))
    with pytest.raises(ImageError, match="has app/site/a/x, which another package has too"):
        layer_of(root, *wheels)


@pytest.mark.parametrize("name", ["../web/answer.py", "/etc/passwd", "a/../../x"])
def test_a_wheel_that_reaches_outside_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    packed = tmp_path / "a-1.0-py3-none-any.whl"
    packed.write_bytes(wheel({name: ""}))
    with pytest.raises(ImageError, match="has a file outside of itself"):
        layer_of(root, packed)


def test_an_empty_file_stays_empty(root: Path) -> None:
    _, file = layer_of(root)
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as archive:
        assert archive.getmember("app/web/__init__.py").size == 0

"""Files of strangers: a sound one is read exactly, a hostile or broken one refused in one line."""

from __future__ import annotations

import json
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from model_export.checkpoints import safetensors
from model_export.checkpoints.safetensors import open_safetensors
from model_export.download import WeightsError
from tests.model_export.checkpoints.state_dicts import write, write_raw

EIGHT = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def entry(**changes: object) -> bytes:
    return json.dumps({"a": {**EIGHT, **changes}}).encode()


def two(first: list[int], second: list[int]) -> bytes:
    return json.dumps(
        {"a": {**EIGHT, "data_offsets": first}, "b": {**EIGHT, "data_offsets": second}}
    ).encode()


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F64"])
def test_numbers_of_every_format_are_read_exactly(dtype: str, tmp_path: Path) -> None:
    values = {"a": np.array([[1.5, -2.0], [0.25, 3.0]], np.float32), "b": np.float32([7.0])}
    file = open_safetensors(write(tmp_path / "m.safetensors", values, dtype, {"made": "here"}))
    assert dict(file.metadata) == {"made": "here"}
    for name, expected in values.items():
        found = file.read(name)
        assert found.dtype == np.float32 and found.shape == expected.shape
        assert (found == expected).all()


HOSTILE = {
    "a header longer than the file": (entry(), b"", 2**20, "ends within its header"),
    "a header of 2 to the 63": (entry(), b"\0" * 8, 2**63, "no header of a possible length"),
    "no JSON": (b"{a}", b"", None, "not JSON"),
    "a list": (b"[1, 2]", b"", None, "not a JSON object"),
    "spaces before the header": (b" " + entry(), b"\0" * 8, None, "not a JSON object"),
    "bytes that are no UTF-8": (b'{"\xff": 1}', b"", None, "not JSON"),
    "a name twice": (
        b'{"a": ' + json.dumps(EIGHT).encode() + b', "a": ' + json.dumps(EIGHT).encode() + b"}",
        b"\0" * 8,
        None,
        "a name occurs twice",
    ),
    "not a number": (entry(shape=[float("nan")]), b"\0" * 8, None, "NaN is not allowed"),
    "a fraction": (entry(shape=[2.0]), b"\0" * 8, None, "2.0 is not allowed"),
    "true as a size": (entry(shape=[True, 2]), b"\0" * 8, None, "no shape and place"),
    "a negative size": (entry(shape=[-2]), b"\0" * 8, None, "no shape and place"),
    "a number of 5000 digits": (
        b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 8]}}',
        b"\0" * 8,
        None,
        "not JSON",
    ),
    "nested a million times": (b'{"a":' * 200_000, b"", None, "not JSON"),
    "a shape of too many axes": (entry(shape=[1] * 30), b"\0" * 8, None, "no shape and place"),
    "an impossible shape": (entry(shape=[2**40, 2**40]), b"\0" * 8, None, "an impossible shape"),
    "a shape of another size": (entry(shape=[3]), b"\0" * 8, None, "a shape and a size"),
    "an end before the beginning": (
        entry(data_offsets=[8, 0]),
        b"\0" * 8,
        None,
        "a shape and a size",
    ),
    "three offsets": (entry(data_offsets=[0, 8, 8]), b"\0" * 8, None, "no place"),
    "a key more": (entry(more=1), b"\0" * 8, None, "does not describe"),
    "an entry that is a number": (b'{"a": 1}', b"", None, "does not describe"),
    "an unknown format": (entry(dtype="Q4_0"), b"\0" * 8, None, "unknown format Q4_0"),
    "a hole": (two([0, 8], [16, 24]), b"\0" * 24, None, "a hole between them"),
    "an overlap": (two([0, 8], [4, 12]), b"\0" * 12, None, "overlap"),
    "two names of the same bytes": (two([0, 8], [0, 8]), b"\0" * 8, None, "overlap"),
    "a beginning behind the header": (
        entry(data_offsets=[8, 16]),
        b"\0" * 16,
        None,
        "a hole between them",
    ),
    "bytes behind the last tensor": (entry(), b"\0" * 9, None, "1 bytes that belong to no tensor"),
    "a byte less": (entry(), b"\0" * 7, None, "incomplete: 1 bytes are missing"),
    "metadata that is no text": (b'{"__metadata__": {"a": 1}}', b"", None, "not text"),
    "metadata that is a list": (b'{"__metadata__": ["a"]}', b"", None, "not text"),
    "a name of 600 characters": (
        json.dumps({"n" * 600: EIGHT}).encode(),
        b"\0" * 8,
        None,
        "names a tensor at length",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_is_refused_in_one_line_with_what_to_do(what: str, tmp_path: Path) -> None:
    header, data, length, expected = HOSTILE[what]
    path = write_raw(tmp_path / "hostile.safetensors", header, data, length)
    with pytest.raises(WeightsError, match=re.escape(expected)) as error:
        open_safetensors(path)
    message = str(error.value)
    assert "\n" not in message and message.startswith(str(path)) and len(message) < 400


def test_more_tensors_than_any_model_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safetensors, "MAX_TENSORS", 1)
    path = write(tmp_path / "m.safetensors", {"a": np.zeros(1), "b": np.zeros(1)})
    with pytest.raises(WeightsError, match="more than 1 tensors"):
        open_safetensors(path)


def test_names_are_shown_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    header = json.dumps({"a\x1b[2Jb\n": {**EIGHT, "shape": [3]}}).encode()
    with pytest.raises(WeightsError) as error:
        open_safetensors(write_raw(tmp_path / "m.safetensors", header, b"\0" * 8))
    assert "\x1b" not in str(error.value) and r"a\x1b[2Jb\n" in str(error.value)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "m.safetensors", {"a": np.zeros(64), "b": np.ones(64)}).read_bytes()
    path = tmp_path / "cut.safetensors"
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(WeightsError):
            open_safetensors(path)


def test_a_huge_claim_allocates_nothing(tmp_path: Path) -> None:
    import tracemalloc

    size = 2**39
    header = json.dumps({"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}})
    path = write_raw(tmp_path / "m.safetensors", header.encode(), b"\0" * 8)
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match="incomplete"):
            open_safetensors(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"GGUF\x03\0\0\0" + b"\0" * 32, "GGUF file"),
        (b"PK\x03\x04" + b"\0" * 32, "is a pickle"),
        (b"\x80\x02}q\0." + b"\0" * 32, "is a pickle"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 32, "is a Keras file"),
        (b"", "too short"),
        (b"hello, world, this is a text", "no header of a possible length"),
    ],
)
def test_other_formats_are_named_with_a_way(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=expected):
        open_safetensors(path)


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is missing"):
        open_safetensors(tmp_path / "none")
    with pytest.raises(WeightsError, match="not a regular file"):
        open_safetensors(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="not a regular file"):
        open_safetensors(tmp_path / "pipe")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", {"a": np.zeros(8)})
    file = open_safetensors(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(WeightsError, match="was changed while it was read"):
        file.read("a")


@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_values_that_are_no_numbers_are_counted_and_refused(dtype: str, tmp_path: Path) -> None:
    values = np.array([1, np.nan, np.inf], np.float32)
    file = open_safetensors(write(tmp_path / "m.safetensors", {"a": values}, dtype))
    with pytest.raises(WeightsError, match="a has 2 values that are no finite numbers"):
        file.read("a")


@pytest.mark.parametrize("length", [128, 640, 0x4780])
def test_a_length_that_begins_like_a_pickle_is_a_length(length: int, tmp_path: Path) -> None:
    path = write_raw(tmp_path / "m.safetensors", entry().ljust(length), struct.pack("<2f", 1, 2))
    assert path.read_bytes().startswith(b"\x80")
    assert open_safetensors(path).read("a").tolist() == [1, 2]


def test_the_header_is_measured_as_the_format_says(tmp_path: Path) -> None:
    header = entry() + b"  "
    path = write_raw(tmp_path / "m.safetensors", header, struct.pack("<2f", 1, 2))
    assert open_safetensors(path).read("a").tolist() == [1, 2]

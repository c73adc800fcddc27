"""Reads `.safetensors` files, which may come from anywhere: nothing in them is believed unchecked.

The format is 8 bytes with the header's length, a JSON header, and the tensors' bytes one after
another (github.com/huggingface/safetensors). It is read by hand because the library accepts what is
refused here, such as a header of 100 MB. No tensor is read before the header is known to be sound.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_export.download import WeightsError

if TYPE_CHECKING:
    import numpy as np

MAX_HEADER_BYTES = 8 * 2**20
MAX_TENSORS = 20_000
_MAX_NAME_CHARACTERS = 512
_MAX_RANK = 8
_MAX_ELEMENTS = 2**40
_LENGTH_BYTES = 8

ELEMENT_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "U64": 8,
    "I32": 4,
    "U32": 4,
    "I16": 2,
    "U16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
}
FLOATS = ("F32", "F16", "BF16", "F64")
"""The formats of weights that can be read."""

_OTHER_FORMATS: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "is a Git LFS pointer and not the file itself: run `git lfs pull` in its folder",
    ),
    (b"GGUF", "is a GGUF file, whose weights are quantised: use the model's .safetensors file"),
    (
        b"PK\x03\x04",
        "is a pickle, which can run any code when it is read: use the model's .safetensors file",
    ),
    (
        b"\x80",
        "is a pickle, which can run any code when it is read: use the model's .safetensors file",
    ),
    (b"\x89HDF", "is a Keras file: set weights to the folder with the three official ones"),
)


@dataclass(frozen=True)
class Tensor:
    """Where a tensor is: begin and end are bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class SafetensorsFile:
    """A file whose header has been checked."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(repr=False)
    data_offset: int
    size_bytes: int

    def read(self, name: str) -> np.ndarray:
        """The tensor in float32. Raises WeightsError if the file has changed or a value is NaN."""
        import numpy as np

        tensor = self.tensors[name]
        kind = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2"}[tensor.dtype]
        with self.path.open("rb") as file:
            file.seek(self.data_offset + tensor.begin)
            content = file.read(tensor.end - tensor.begin)
            has_its_size = os.fstat(file.fileno()).st_size == self.size_bytes
        if len(content) < tensor.end - tensor.begin or not has_its_size:
            raise WeightsError(f"{self.path} was changed while it was read: try again")
        values = np.frombuffer(content, kind)
        if tensor.dtype == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        values = values.astype(np.float32, copy=False).reshape(tensor.shape)
        broken = values.size - int(np.count_nonzero(np.isfinite(values)))
        if broken:
            raise WeightsError(
                f"{self.path}: {shown(name)} has {broken} values that are no finite numbers: the "
                "file is damaged"
            )
        return values


def open_safetensors(path: Path) -> SafetensorsFile:
    """Reads and checks the header. Raises WeightsError, or OSError if it cannot be read."""
    if not path.exists():
        raise WeightsError(f"{path} is missing: correct its path, or put the file there")
    if not path.is_file():  # opening a pipe would wait for its other end
        raise WeightsError(f"{path} is not a regular file")
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        first = file.read(_LENGTH_BYTES + 16)
        if len(first) < _LENGTH_BYTES + 2:
            raise _damaged(path, "is too short")
        (length,) = struct.unpack("<Q", first[:_LENGTH_BYTES])
        if length > MAX_HEADER_BYTES:
            # Not before: the length of a sound header can begin like another format.
            for magic, what in _OTHER_FORMATS:
                if first.startswith(magic):
                    raise WeightsError(f"{path} {what}")
            raise _damaged(path, "has no header of a possible length")
        file.seek(_LENGTH_BYTES)
        header = file.read(length)
    if len(header) < length:
        raise _damaged(path, "ends within its header")
    offset = _LENGTH_BYTES + length
    entries = _parsed(path, header)
    metadata = _metadata(path, entries.pop("__metadata__", {}))
    if len(entries) > MAX_TENSORS:
        raise _damaged(path, f"lists more than {MAX_TENSORS} tensors")
    tensors = {name: _tensor(path, name, entry) for name, entry in entries.items()}
    _check_places(path, tensors, size_bytes - offset)
    return SafetensorsFile(path, tensors, metadata, offset, size_bytes)


def shown(name: str) -> str:
    """A name from a file, safe to print."""
    text = name.encode("unicode_escape").decode()
    return text if len(text) <= 120 else f"{text[:120]}…"


def _parsed(path: Path, header: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name occurs twice")
        return found

    def refuse(text: str) -> Any:
        raise ValueError(f"{text[:20]} is not allowed")

    try:
        document = json.loads(
            header.decode("utf-8"),
            object_pairs_hook=unique,
            parse_constant=refuse,
            parse_float=refuse,
        )
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"has a header that is not JSON ({shown(str(error))})") from None
    if not header.startswith(b"{"):
        raise _damaged(path, "has a header that is not a JSON object")
    return document


def _metadata(path: Path, found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise _damaged(path, "has metadata that is not text")
    return found


def _tensor(path: Path, name: str, entry: Any) -> Tensor:
    if len(name) > _MAX_NAME_CHARACTERS:
        raise _damaged(path, "names a tensor at length")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(path, f"does not describe {shown(name)}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ELEMENT_BYTES:
        raise WeightsError(
            f"{path}: {shown(name)} is in the unknown format {shown(str(dtype))}: use the model's "
            "version in float16 or float32"
        )
    if not _are_sizes(shape) or len(shape) > _MAX_RANK or not _are_sizes(offsets):
        raise _damaged(path, f"gives no shape and place for {shown(name)}")
    if len(offsets) != 2:
        raise _damaged(path, f"gives no place for {shown(name)}")
    if prod(shape) > _MAX_ELEMENTS:
        raise _damaged(path, f"gives {shown(name)} an impossible shape")
    begin, end = offsets
    if end - begin != prod(shape) * ELEMENT_BYTES[dtype]:
        raise _damaged(path, f"gives {shown(name)} a shape and a size that differ")
    return Tensor(dtype, tuple(shape), begin, end)


def _are_sizes(found: Any) -> bool:
    # A bool is an int to Python.
    return isinstance(found, list) and all(type(one) is int and 0 <= one < 2**63 for one in found)


def _check_places(path: Path, tensors: Mapping[str, Tensor], data_bytes: int) -> None:
    """The tensors fill the data without a hole, an overlap, or anything behind them."""
    before = 0
    for begin, end in sorted((tensor.begin, tensor.end) for tensor in tensors.values()):
        if begin != before:
            raise _damaged(path, "has tensors that overlap, or a hole between them")
        before = end
    if before > data_bytes:
        raise WeightsError(
            f"{path} is incomplete: {before - data_bytes} bytes are missing; download it again"
        )
    if before < data_bytes:
        raise _damaged(path, f"has {data_bytes - before} bytes that belong to no tensor")


def _damaged(path: Path, what: str) -> WeightsError:
    return WeightsError(f"{path} {what}: it is no .safetensors file, or damaged; download it again")

"""CLIP's byte pair vocabulary as numbers: byte symbols, ranked merges, token ids.

Ids 0..255 are single bytes, 256..511 the same bytes at the end of a word, and 512 + k is the result
of merge k, so a merge's rank also gives its result. The last two are special.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VOCABULARY_FILE = Path(__file__).parent / "assets" / "bpe_simple_vocab_16e6.txt.gz"
VOCABULARY_LICENCE_FILE = Path(__file__).parent / "assets" / "bpe_simple_vocab_16e6.LICENSE"
VOCABULARY_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"

BYTE_SYMBOLS = 256
FIRST_MERGE_ID = 2 * BYTE_SYMBOLS
MERGES = 49152 - BYTE_SYMBOLS - 2
"""The number of merges that CLIP uses; the file has more."""
START_OF_TEXT = FIRST_MERGE_ID + MERGES
END_OF_TEXT = START_OF_TEXT + 1
SPECIAL_TOKENS = {"<|startoftext|>": START_OF_TEXT, "<|endoftext|>": END_OF_TEXT}
VOCABULARY_SIZE = END_OF_TEXT + 1


class VocabularyError(RuntimeError):
    """The vocabulary file is not the one CLIP was trained with."""


@dataclass(frozen=True)
class Vocabulary:
    """byte_ids[b] is the id of byte b inside a word; merge k joins the two ids merges[k]."""

    byte_ids: tuple[int, ...]
    merges: tuple[tuple[int, int], ...]


@cache
def vocabulary(path: Path = VOCABULARY_FILE) -> Vocabulary:
    """Reads the file. Raises VocabularyError if its checksum is not CLIP's."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != VOCABULARY_SHA256:
        raise VocabularyError(f"{path}: not CLIP's vocabulary (checksum differs); restore the file")
    lines = gzip.decompress(content).decode().split("\n")[1 : MERGES + 1]
    characters = _byte_characters()
    ids = {character: i for i, character in enumerate(characters.values())}
    ids |= {f"{character}</w>": i + BYTE_SYMBOLS for character, i in list(ids.items())}
    merges: list[tuple[int, int]] = []
    for rank, line in enumerate(lines):
        left, right = line.split()
        merges.append((ids[left], ids[right]))
        # A merge's rank can stand for its result only if results are unique.
        if ids.setdefault(left + right, FIRST_MERGE_ID + rank) != FIRST_MERGE_ID + rank:
            raise VocabularyError(f"{path}: merge {rank} repeats an earlier token")
    byte_ids = tuple(ids[characters[byte]] for byte in range(BYTE_SYMBOLS))
    return Vocabulary(byte_ids, tuple(merges))


def _byte_characters() -> dict[int, str]:
    """The printable character that stands for each byte in the file (GPT-2's), in id order."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    table = {byte: chr(byte) for byte in printable}
    hidden = [byte for byte in range(BYTE_SYMBOLS) if byte not in table]
    table |= {byte: chr(BYTE_SYMBOLS + i) for i, byte in enumerate(hidden)}
    return table

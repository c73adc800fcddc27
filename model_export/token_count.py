"""How many CLIP tokens a text has, counted in plain Python: a check that needs no TensorFlow.

It follows the same rules as the graph's tokenizer (`model_export.tokenizer`).
"""

from __future__ import annotations

import heapq
import html
import re
from functools import cache

import regex

from model_export.spec import MAX_PROMPT_TOKENS
from model_export.vocabulary import BYTE_SYMBOLS, FIRST_MERGE_ID, SPECIAL_TOKENS, vocabulary

_WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)
_LONG_REFERENCES = re.compile(r"&#([0-9]{1000,});?")
_ENOUGH_DIGITS = 10
"""No character's number has as many."""
_JOINED = -1
"""In place of a symbol that has become part of the one before it."""


def truncation(text: str) -> str | None:
    """Why the model would read only the start of the text; None if it reads all of it."""
    count = token_count(text)
    if count <= MAX_PROMPT_TOKENS:
        return None
    return f"has {count} tokens, but the model reads only the first {MAX_PROMPT_TOKENS}"


def token_count(text: str) -> int:
    """The tokens of a text, start and end token included, before truncation."""
    clean = _unescaped(_unescaped(text)).strip().lower()
    return 2 + sum(_tokens_of_word(word) for word in _WORDS.findall(clean))


def _unescaped(text: str) -> str:
    """`html.unescape`, which raises for references of more digits than Python's int() takes."""
    return html.unescape(_LONG_REFERENCES.sub(_shortened, text))


def _shortened(reference: re.Match[str]) -> str:
    """The same character, or one that does not exist either."""
    return f"&#{reference[1].lstrip('0')[:_ENOUGH_DIGITS] or '0'};"


def _tokens_of_word(word: str) -> int:
    """Joins the word's lowest-ranked pair, of several the leftmost, until none is left.

    That is what the graph does: no join makes a pair of a lower rank than its own, since a merge
    stands in the vocabulary after those that make its parts. The heap keeps the time near to linear
    in the word's length.
    """
    if word in SPECIAL_TOKENS:
        return 1
    byte_ids, ranks = vocabulary().byte_ids, _ranks()
    symbols = [byte_ids[byte] for byte in word.encode()]
    symbols[-1] += BYTE_SYMBOLS
    size = len(symbols)
    before, after = list(range(-1, size - 1)), list(range(1, size + 1))

    def rank_at(left: int) -> int | None:
        right = after[left]
        return ranks.get((symbols[left], symbols[right])) if right < size else None

    heap = [(rank, left) for left in range(size) if (rank := rank_at(left)) is not None]
    heapq.heapify(heap)
    while heap:
        rank, left = heapq.heappop(heap)
        if rank_at(left) != rank:  # one of the two has been joined with another
            continue
        right = after[left]
        symbols[left], symbols[right] = FIRST_MERGE_ID + rank, _JOINED
        after[left] = after[right]
        if after[left] < size:
            before[after[left]] = left
        for start in (before[left], left):
            if start >= 0 and (rank := rank_at(start)) is not None:
                heapq.heappush(heap, (rank, start))
    return sum(symbol != _JOINED for symbol in symbols)


@cache
def _ranks() -> dict[tuple[int, int], int]:
    return {pair: rank for rank, pair in enumerate(vocabulary().merges)}

"""How many CLIP tokens a text has, counted in plain Python: a check that needs no TensorFlow.

It follows the same rules as the graph's tokenizer (`model_export.tokenizer`).
"""

from __future__ import annotations

import html
from functools import cache
from itertools import pairwise

import regex

from model_export.spec import MAX_PROMPT_TOKENS
from model_export.vocabulary import BYTE_SYMBOLS, FIRST_MERGE_ID, SPECIAL_TOKENS, vocabulary

_WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)


def truncation(text: str) -> str | None:
    """Why the model would read only the start of the text; None if it reads all of it."""
    count = token_count(text)
    if count <= MAX_PROMPT_TOKENS:
        return None
    return f"has {count} tokens, but the model reads only the first {MAX_PROMPT_TOKENS}"


def token_count(text: str) -> int:
    """The tokens of a text, start and end token included, before truncation."""
    clean = html.unescape(html.unescape(text)).strip().lower()
    return 2 + sum(_tokens_of_word(word) for word in _WORDS.findall(clean))


def _tokens_of_word(word: str) -> int:
    """Joins, again and again, every occurrence of the word's lowest-ranked pair."""
    if word in SPECIAL_TOKENS:
        return 1
    byte_ids, ranks = vocabulary().byte_ids, _ranks()
    symbols = [byte_ids[byte] for byte in word.encode()]
    symbols[-1] += BYTE_SYMBOLS
    while known := [pair for pair in pairwise(symbols) if pair in ranks]:
        lowest = min(known, key=ranks.__getitem__)
        joined: list[int] = []
        for symbol in symbols:
            if joined and (joined[-1], symbol) == lowest:
                joined[-1] = FIRST_MERGE_ID + ranks[lowest]
            else:
                joined.append(symbol)
        symbols = joined
    return len(symbols)


@cache
def _ranks() -> dict[tuple[int, int], int]:
    return {pair: rank for rank, pair in enumerate(vocabulary().merges)}

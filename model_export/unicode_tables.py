"""How Python and its `html` and `regex` modules treat every code point, as plain tables.

CLIP's tokenizer relies on Python's Unicode data (letters, lower case, HTML entities). A graph must
not depend on the server's data, so the exporter brings its own: the tables are derived from
Python's behaviour here, and become constants in the graph.
"""

from __future__ import annotations

import html
import html.entities
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import regex

_SURROGATES = range(0xD800, 0xE000)
_LAST_CODE_POINT = 0x10FFFF
_SEPARATOR = "\ud800"
"""A lone surrogate: not in any valid text, and neither cased nor ignored in casing."""
_CAPITAL_SIGMA, _FINAL_SIGMA = "Σ", "ς"

DROPPED = -1
"""In `UnicodeTables.numeric_references`: no character at all."""


@dataclass(frozen=True)
class UnicodeTables:
    """Code points by their role in CLIP's clean-up, lower-casing and splitting.

    letters, numbers, others: the pattern's three character classes; separators: all others.
    spaces: what `str.strip` removes.
    lower: code point → its lower case, if that is a single other code point.
    lower_expanding: characters whose lower case is several code points.
    cased, case_ignorable: they decide whether a Σ ends a word (`str.lower`'s only context rule).
    entities: `html.unescape`'s names, with their semicolons where these are required.
    numeric_references: n → code point (or DROPPED), where `&#n;` is not simply character n.
    """

    letters: frozenset[int]
    numbers: frozenset[int]
    others: frozenset[int]
    separators: frozenset[int]
    spaces: frozenset[int]
    lower: dict[int, int]
    lower_expanding: dict[str, str]
    cased: frozenset[int]
    case_ignorable: frozenset[int]
    entities: dict[str, str]
    numeric_references: dict[int, int]


@cache
def unicode_tables() -> UnicodeTables:
    """The tables of this Python and this `regex` module. Takes about two seconds, once."""
    code_points = [c for c in range(_LAST_CODE_POINT + 1) if c not in _SURROGATES]
    characters = [chr(c) for c in code_points]
    text = "".join(characters)

    def matching(pattern: str) -> frozenset[int]:
        return frozenset(map(ord, regex.findall(pattern, text, regex.IGNORECASE)))

    letters, numbers = matching(r"[\p{L}]"), matching(r"[\p{N}]")
    others = matching(r"[^\s\p{L}\p{N}]")
    lowered = [(c, c.lower()) for c in characters]
    cased = _sigma_is_final_after(characters, "1")
    return UnicodeTables(
        letters=letters,
        numbers=numbers,
        others=others,
        separators=frozenset(code_points) - letters - numbers - others,
        spaces=frozenset(ord(c) for c in characters if c.isspace()),
        lower={ord(c): ord(low) for c, low in lowered if len(low) == 1 and low != c},
        lower_expanding={c: low for c, low in lowered if len(low) != 1},
        cased=cased,
        case_ignorable=_sigma_is_final_after(characters, "A") - cased,
        entities=dict(html.entities.html5),
        numeric_references=_numeric_references(),
    )


def _sigma_is_final_after(characters: list[str], before: str) -> frozenset[int]:
    """The characters c for which Σ in `before + c + Σ` becomes the final form."""
    words = _SEPARATOR.join(before + c + _CAPITAL_SIGMA for c in characters)
    return frozenset(
        ord(c)
        for c, low in zip(characters, words.lower().split(_SEPARATOR), strict=True)
        if low.endswith(_FINAL_SIGMA)
    )


def _numeric_references() -> dict[int, int]:
    numbers = range(_LAST_CODE_POINT + 1)
    meanings = html.unescape(_SEPARATOR.join(f"&#{n};" for n in numbers)).split(_SEPARATOR)
    return {
        n: ord(meaning) if meaning else DROPPED
        for n, meaning in zip(numbers, meanings, strict=True)
        if n in _SURROGATES or meaning != chr(n)
    }


def re2_class(code_points: Iterable[int]) -> str:
    """The inside of an RE2 character class that matches exactly these code points.

    RE2's own \\p{L}, \\p{N} and \\s differ from Python's in thousands of code points, and depend on
    the Unicode version that a server was built with.
    """
    ranges: list[tuple[int, int]] = []
    for c in sorted(code_points):
        if ranges and c == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], c)
        else:
            ranges.append((c, c))
    return "".join(rf"\x{{{a:x}}}-\x{{{b:x}}}" if a != b else rf"\x{{{a:x}}}" for a, b in ranges)

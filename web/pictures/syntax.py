"""AUTOMATIC1111's prompt syntax, which the model does not understand: made plain text.

What only marks words (emphasis, LoRA tags, comments, BREAK) is removed; what would change the
prompt between steps stays as text. Either is said in a note.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from prediction.errors import one_line

EMPHASIS = "emphasis in the prompt has no effect: the brackets and weights were removed"
SCHEDULE = (
    "the model does not change the prompt between steps: [a:b:0.5] and [a|b] were read as text"
)
CHUNKS = "BREAK has no effect: the word was removed"
COMPOSITION = "the model does not combine prompts: AND was read as a word"
COMMENT = "text from a # to the end of its line was left out of the prompt as a comment"

MAX_CHARACTERS = 32_768
"""A longer prompt is refused by every model: it is not worth reading."""

_NETWORK = re.compile(r"<(\w+:[^<>]+)>")
_BREAK = re.compile(r"\bBREAK\b")
_AND = re.compile(r"\bAND\b")
# Not \d+\.?\d*: the two would divide a long number between them in every way.
_DIGITS = r"[+-]?(\d+(\.\d*)?|\.\d+)"
_NUMBER = re.compile(rf"\s*{_DIGITS}(e[+-]?\d+)?\s*", re.IGNORECASE)
_WEIGHT = re.compile(rf":\s*{_DIGITS}\s*\)")
_MARK = re.compile(r"\\[\\()\[\]]|[()\[\]:|]")
_ESCAPED = re.compile(r"[\\()\[\]]")


@dataclass(frozen=True)
class PlainPrompt:
    """text: what the model gets. notes: one line for each kind of syntax that it lost."""

    text: str
    notes: tuple[str, ...] = ()


@dataclass
class _Bracket:
    """An opened bracket, and where its own separators are: not those of brackets inside it."""

    start: int
    is_square: bool
    colons: list[int]
    has_bar: bool = False


def plain(prompt: str) -> PlainPrompt:
    """`prompt` as text."""
    if len(prompt) > MAX_CHARACTERS:
        return PlainPrompt(prompt)
    notes: list[str] = []
    text = prompt
    if "#" in text:
        text = _without_comments(text)
        notes.append(COMMENT)
    networks = [f"<{one_line(match[1])}>" for match in _NETWORK.finditer(text)]
    if networks:
        text = _NETWORK.sub("", text).strip()
        notes.append(f"not part of the model, and left out: {' '.join(dict.fromkeys(networks))}")
    schedules = _schedules(text)
    if schedules:
        notes.append(SCHEDULE)
    bare = _without_emphasis(text, schedules)
    if bare.has_emphasis:
        notes.append(EMPHASIS)
    text = bare.text
    if _BREAK.search(text):
        text = " ".join(filter(None, map(str.strip, _BREAK.split(text))))
        notes.append(CHUNKS)
    if _AND.search(text):
        notes.append(COMPOSITION)
    return PlainPrompt(text, tuple(notes))


def escaped(text: str) -> str:
    """`text` written so that its brackets and backslashes are read as text again."""
    return _ESCAPED.sub(r"\\\g<0>", text)


def _without_comments(text: str) -> str:
    lines = [line.partition("#") for line in text.split("\n")]
    return "\n".join(
        before.rstrip() if mark else before
        for before, mark, _ in lines
        if not mark or before.strip()
    )


def _schedules(text: str) -> dict[int, int]:
    """Where the outermost `[from:to:when]`, `[to:when]` and `[a|b]` start and end."""
    found: dict[int, int] = {}
    opened: list[_Bracket] = []
    for mark in _MARK.finditer(text):
        match mark[0]:
            case "(" | "[":
                opened.append(_Bracket(mark.start(), mark[0] == "[", []))
            case ":" if opened:
                opened[-1].colons.append(mark.start())
            case "|" if opened:
                opened[-1].has_bar = True
            case ")" if opened and not opened[-1].is_square:
                opened.pop()
            case "]":
                while opened and not opened[-1].is_square:
                    opened.pop()
                if opened and _is_schedule(text, opened[-1], mark.start()):
                    found[opened[-1].start] = mark.end()
                del opened[-1:]
            case _:
                pass
    return found


def _is_schedule(text: str, bracket: _Bracket, end: int) -> bool:
    if bracket.has_bar:
        return True
    colons = bracket.colons
    return 1 <= len(colons) <= 2 and bool(_NUMBER.fullmatch(text, colons[-1] + 1, end))


@dataclass(frozen=True)
class _Bare:
    text: str
    has_emphasis: bool


def _without_emphasis(text: str, schedules: dict[int, int]) -> _Bare:
    """An opened bracket always counts, one that closes nothing is text."""
    parts: list[str] = []
    round_brackets = square_brackets = position = 0
    has_emphasis = False
    while mark := _MARK.search(text, position):
        parts.append(text[position : mark.start()])
        position = mark.end()
        weight = _WEIGHT.match(text, mark.start()) if round_brackets else None
        if mark.start() in schedules:
            position = schedules[mark.start()]
            parts.append(text[mark.start() : position])
        elif weight:
            round_brackets -= 1
            position = weight.end()
        elif mark[0] in "([":
            has_emphasis = True
            round_brackets += mark[0] == "("
            square_brackets += mark[0] == "["
        elif mark[0] == ")" and round_brackets:
            round_brackets -= 1
        elif mark[0] == "]" and square_brackets:
            square_brackets -= 1
        else:
            parts.append(mark[0].removeprefix("\\") if len(mark[0]) > 1 else mark[0])
    parts.append(text[position:])
    return _Bare("".join(parts), has_emphasis)

"""A1111's prompt syntax made plain text, and said so."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.pictures import syntax
from web.pictures.syntax import COMMENT, COMPOSITION, EMPHASIS, SCHEDULE, plain

CASES = [
    ("a cat, on a mat: 5 | 6", "a cat, on a mat: 5 | 6", ()),
    ("", "", ()),
    ("a (b:1.2) c", "a b c", (EMPHASIS,)),
    ("a (b: +.5 ) c", "a b c", (EMPHASIS,)),
    ("((a))", "a", (EMPHASIS,)),
    ("[a]", "a", (EMPHASIS,)),
    ("(a [b) c]", "a b c", (EMPHASIS,)),
    ("(a", "a", (EMPHASIS,)),
    ("a)", "a)", ()),
    ("a]", "a]", ()),
    ("a:1.2)", "a:1.2)", ()),
    ("(a:b)", "a:b", (EMPHASIS,)),
    ("[a:b]", "a:b", (EMPHASIS,)),
    ("(a:1.2.3)", "a:1.2.3", (EMPHASIS,)),
    (r"\(a\)", "(a)", ()),
    (r"\[a:b:0.5\]", "[a:b:0.5]", ()),
    (r"\\(a)", "\\a", (EMPHASIS,)),
    (r"a\b", r"a\b", ()),
    ("a smile :)", "a smile :)", ()),
]


@pytest.mark.parametrize(("prompt", "text", "notes"), CASES)
def test_emphasis_is_removed_and_said(prompt: str, text: str, notes: tuple[str, ...]) -> None:
    found = plain(prompt)
    assert (found.text, found.notes) == (text, notes)


@pytest.mark.parametrize(
    "prompt",
    [
        "[a:b:0.5]",
        "[b:10]",
        "[a::0.5]",
        "[:b: 0.5 ]",
        "[a:-1]",
        "[a:5e-1]",
        "[a|b]",
        "[a|b|]",
        "[(a:1.2):b:0.5]",
        "[[a:b:0.5]:c:0.7]",
        "a [red:blue:0.5] ball",
    ],
)
def test_a_schedule_is_never_silently_read_as_less_emphasis(prompt: str) -> None:
    found = plain(prompt)
    assert found.text == prompt
    assert found.notes == (SCHEDULE,)


def test_emphasis_around_a_schedule_is_removed_and_the_schedule_kept() -> None:
    found = plain("([red:blue:0.5] ball:1.3)")
    assert found.text == "[red:blue:0.5] ball"
    assert found.notes == (SCHEDULE, EMPHASIS)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("BREAK a BREAK", "a"),
        ("a BREAK b", "a b"),
        ("a\nBREAK\nb", "a b"),
        ("BREAK", ""),
        ("(a BREAK b:1.2)", "a b"),
    ],
)
def test_break_is_removed_and_said(prompt: str, text: str) -> None:
    found = plain(prompt)
    assert found.text == text
    assert syntax.CHUNKS in found.notes


@pytest.mark.parametrize("prompt", ["break", "BREAKFAST", "BRAND", "a and b", "SAND"])
def test_words_that_only_resemble_syntax_are_left_alone(prompt: str) -> None:
    assert plain(prompt) == syntax.PlainPrompt(prompt)


def test_and_is_read_as_a_word_and_said() -> None:
    assert plain("a cat AND a dog") == syntax.PlainPrompt("a cat AND a dog", (COMPOSITION,))


def test_a_lora_is_left_out_and_named_once() -> None:
    found = plain("a <lora:one:0.8> cat <lora:two:1> <lora:two:1>")
    assert found.text == "a  cat"
    assert found.notes == ("not part of the model, and left out: <lora:one:0.8> <lora:two:1>",)
    assert plain("<lora:x:1>").text == ""


@pytest.mark.parametrize("prompt", ["a < b > c", "<lora>", "<lora:x", "<>", "<:x>"])
def test_angle_brackets_of_other_kinds_are_text(prompt: str) -> None:
    assert plain(prompt) == syntax.PlainPrompt(prompt)


def test_comments_are_left_out_and_said() -> None:
    found = plain("# whole line\na cat # on a mat\n\na dog")
    assert found.text == "a cat\n\na dog"
    assert found.notes == (COMMENT,)


def test_a_note_is_one_line_whatever_the_prompt() -> None:
    (note,) = plain("<lora:a\nb\x1b[2J:1>").notes
    assert "\n" not in note
    assert note.isprintable()


marks = st.text(st.sampled_from(r"ab :.1|()[]\<>#,BREAKND" + "\n☆"), max_size=60)


@given(marks)
def test_without_a_note_every_character_is_kept_but_for_escapes(prompt: str) -> None:
    found = plain(prompt)
    if not found.notes:
        assert found.text.replace("\\", "") == prompt.replace("\\", "")


@given(marks.filter(lambda text: not any(mark in text for mark in ("BREAK", "<", "#"))))
def test_escaped_text_is_read_as_it_was(text: str) -> None:
    assert plain(syntax.escaped(text)).text == text


@pytest.mark.parametrize(
    "mark", ["(", "[", ")", "]", ":", "|", "\\", "<a:", "#", " ", ": ", "(:", "[a:"]
)
def test_the_longest_prompt_is_read_in_a_moment(mark: str) -> None:
    prompt = mark * (syntax.MAX_CHARACTERS // len(mark))
    start = time.thread_time()
    plain(prompt)
    plain(prompt[:-5] + "BREAK")
    assert time.thread_time() - start < 2


@pytest.mark.parametrize("start", ["(a:", "[a:"])
def test_a_long_number_is_read_in_a_moment(start: str) -> None:
    prompt = start + "1" * (syntax.MAX_CHARACTERS - len(start) - 2) + "x]"
    before = time.thread_time()
    plain(prompt)
    assert time.thread_time() - before < 2


def test_a_prompt_that_every_model_refuses_is_not_read() -> None:
    prompt = "(" * (syntax.MAX_CHARACTERS + 1)
    assert plain(prompt) == syntax.PlainPrompt(prompt)

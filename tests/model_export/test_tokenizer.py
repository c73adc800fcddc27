"""The graph's tokenizer against keras_cv's, on prompts chosen to find differences."""

from __future__ import annotations

import html.entities
import random
import string
import time
from collections.abc import Callable
from typing import Any

import pytest

from model_export.spec import MAX_PROMPT_BYTES
from model_export.vocabulary import END_OF_TEXT, START_OF_TEXT, VocabularyError, vocabulary

pytestmark = pytest.mark.slow

RANDOM_PROMPTS = 5500
ROWS_PER_CALL = 256
LONG_PROMPT_LIMIT_SECONDS = 8.0
"""CPU seconds. The worst takes about one; a padded matrix of words would take minutes."""

HAND_PICKED = [
    "a photo of an astronaut riding a horse on mars",
    "",
    "   ",
    "Café ☕️ 👩‍🚀 naïve",
    "'street's they're I'LL 'Re''s !'s",
    "<|endoftext|> hi <|STARTOFTEXT|>!<|endoftext|><|endoftext|>",
    "a<|endoftext|>b!<|endoftext|>",
    "<|ſtartoftext|> don'ſ",
    "&amp;lt;b&amp;gt; &amp &ampersand &notit; &#x41;&#65;&#0;&#xD800;&#x110000;",
    "&#99999999999999999999;&#x1F600;&#128;&#11;&#1;&#x0000000041;&#xfffe;",
    "ΑΣ ΑΣΑ ΟΔΥΣΣΕΥΣ Σ ΑΣ\u0301. ΑΣ'Α aΣ\nΣ",
    "İstanbul DİYARBAKIR Kelvin \u212a Ångström \u212b",
    "１２３４ ⅷ ½ ① ٣",
    "日本語のテキスト、一枚の写真",
    "\x1c a \x1d b\x85c\u2003d \x1f",
    "e\u0345\u0345!x\u0345",
    "a\u00a0b\u200bc\ufeff",
    "Ꟁꟁ Ⱟ 𐕰𐖗",
    "x" * 300,
    "aaaaaaaaaaaaaaaa aaaaaaaaaaaaaaaab",
    "1234567890 !!!???...",
    "\u0000a\u0000",
    "a photo, (masterpiece:1.3), [[best]], {quality} -- v5 --ar 16:9",
    "&lt;|endoftext|&gt;",
    "&amp;amp;amp; &CounterClockwiseContourIntegral; &CounterClockwiseContourIntegralx;",
    "&#x;&#;&;& &",
    "&" + "a" * 40 + ";",
]

POOLS = [
    [chr(c) for c in range(32, 127)],
    [chr(c) for c in range(0x250)],
    [chr(c) for c in range(0x370, 0x600)],
    list("'stredvmlSTREDVMLſ <|>!&;#xX0123456789"),
    list("ΑΒΣσςİıſK\u0301\u0345\u00ad.':· aZ"),
    [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF],
    ["<|startoftext|>", "<|EndOfText|>", "<", "|", ">", "a", "!", " ", "'s", "&lt;", "|&gt;"],
    ["&", "amp", ";", "lt", "#", "x", "41", "notin", "not", "copy", "frac12", "a", " ", "É", "128"],
    [f"&{name}" for name in html.entities.html5] + [" ", "a", ";"],
]


def adversarial_prompts() -> list[bytes]:
    choose = random.Random(1)
    prompts = [text.encode() for text in HAND_PICKED]
    for _ in range(RANDOM_PROMPTS - 1000):
        pool, other = choose.choice(POOLS), choose.choice(POOLS)
        length = choose.randrange(0, 40)
        text = "".join(
            choose.choice(pool if choose.random() < 0.8 else other) for _ in range(length)
        )
        prompts.append(text.encode())
    for _ in range(1000):  # not UTF-8, or not all of it
        data = bytearray("Straße ☕ 👩 &#x1F600; Σ".encode()[: choose.randrange(0, 30)])
        for _ in range(choose.randrange(1, 6)):
            data.insert(choose.randrange(0, len(data) + 1), choose.randrange(0, 256))
        prompts.append(bytes(data))
    # Every name, and every number that html.unescape treats specially, with and without the end.
    prompts += [f"x&{name}y &{name.rstrip(';')}Z".encode() for name in html.entities.html5]
    special = [*range(0x102), 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFDCF, 0xFDD0, 0xFDEF, 0xFDF0]
    special += [0xFFFE, 0xFFFF, 0x10FFFE, 0x10FFFF, 0x110000, 2**31, 2**32, 2**40]
    return prompts + [f"a&#{n};b&#x{n:x} &#X{n:X};".encode() for n in special]


def every_character_once() -> list[bytes]:
    """All of Unicode in order, in words of seven characters."""
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    words = ["".join(characters[i : i + 7]) for i in range(0, len(characters), 7)]
    return [" ".join(words[i : i + 40]).encode() for i in range(0, len(words), 40)]


Encode = Callable[[list[bytes]], list[list[int]]]


@pytest.fixture(scope="module")
def encode(tokenizer: Any) -> Encode:
    """The graph's tokens for each prompt, not truncated, without start and end token."""
    import tensorflow as tf

    traced = tf.function(
        lambda prompts: tokenizer.encode(prompts).to_tensor(-1),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    return lambda prompts: [row[row >= 0].tolist() for row in traced(tf.constant(prompts)).numpy()]


def assert_equal_tokens(encode: Encode, reference: Any, prompts: list[bytes]) -> None:
    for start in range(0, len(prompts), ROWS_PER_CALL):
        batch = prompts[start : start + ROWS_PER_CALL]
        for prompt, tokens in zip(batch, encode(batch), strict=True):
            expected = reference.encode(prompt.decode("utf-8", "replace"))[1:-1]
            assert tokens == expected, ascii(prompt)


@pytest.mark.slow
def test_thousands_of_adversarial_prompts_get_keras_cvs_tokens(
    encode: Encode, reference_tokenizer: Any
) -> None:
    prompts = adversarial_prompts()
    assert len(prompts) > 5000
    assert_equal_tokens(encode, reference_tokenizer, prompts)


@pytest.mark.slow
def test_every_unicode_character_gets_keras_cvs_tokens(
    encode: Encode, reference_tokenizer: Any
) -> None:
    assert_equal_tokens(encode, reference_tokenizer, every_character_once())


def random_letters(length: int) -> bytes:
    choose = random.Random(2)
    return "".join(choose.choice(string.ascii_lowercase) for _ in range(length)).encode()


LONG_PROMPTS = {
    "one letter": b"a" * MAX_PROMPT_BYTES,
    "one emoji": "😀".encode() * (MAX_PROMPT_BYTES // 4),
    "a long word among thousands of short ones": b"x" * 4000 + b" y" * 2096,
    "references": b"&amp" * (MAX_PROMPT_BYTES // 4),
    "sigmas": "Σ".encode() * (MAX_PROMPT_BYTES // 2),
    "no UTF-8 at all": b"\xff" * MAX_PROMPT_BYTES,
    "one word of random letters": random_letters(MAX_PROMPT_BYTES),
}


@pytest.mark.parametrize("kind", list(LONG_PROMPTS))
def test_a_prompt_of_eight_kibibytes_is_quick(kind: str, encode: Encode) -> None:
    encode([b"warm up"])
    began = time.process_time()
    encode([LONG_PROMPTS[kind]])
    assert time.process_time() - began < LONG_PROMPT_LIMIT_SECONDS


@pytest.mark.parametrize("kind", list(LONG_PROMPTS))
def test_a_prompt_of_eight_kibibytes_is_exact(
    kind: str, encode: Encode, reference_tokenizer: Any
) -> None:
    # The reference takes seconds for a long word with many different pairs.
    random_word = kind == "one word of random letters"
    prompt = random_letters(2500) if random_word else LONG_PROMPTS[kind]
    assert_equal_tokens(encode, reference_tokenizer, [prompt])


def test_a_prompt_is_padded_to_77_tokens_and_counted(tokenizer: Any) -> None:
    result = tokenizer([b"a caterpillar smoking a hookah"])
    tokens = result.tokens[0].numpy().tolist()
    assert len(tokens) == 77 and tokens[:4] == [START_OF_TEXT, 320, 27111, 9038]
    count = int(result.prompt_tokens[0])
    assert tokens[count - 1 :] == [END_OF_TEXT] * (77 - count + 1)
    assert not bool(result.truncated[0])


@pytest.mark.parametrize(
    ("words", "truncated"), [(0, False), (74, False), (75, False), (76, True), (500, True)]
)
def test_a_long_prompt_is_truncated_with_the_end_token_kept(
    words: int, truncated: bool, tokenizer: Any
) -> None:
    result = tokenizer([b" ".join([b"cat"] * words)])
    tokens = result.tokens[0].numpy().tolist()
    assert len(tokens) == 77 and tokens[0] == START_OF_TEXT and tokens[-1] == END_OF_TEXT
    assert tokens.count(2368) == min(words, 75)
    assert int(result.prompt_tokens[0]) == words + 2
    assert bool(result.truncated[0]) is truncated


def test_neighbours_do_not_change_a_rows_tokens(tokenizer: Any) -> None:
    rows = [b"a dog", b"x" * 5000, "ΑΣ İ &amp; 😀".encode(), b"", b"\xff<|endoftext|>"]
    together = tokenizer(rows)
    for i, row in enumerate(rows):
        alone = tokenizer([row])
        assert (alone.tokens[0].numpy() == together.tokens[i].numpy()).all()
        assert int(alone.prompt_tokens[0]) == int(together.prompt_tokens[i])


def test_no_prompts_give_no_tokens(tokenizer: Any) -> None:
    import tensorflow as tf

    result = tokenizer(tf.constant([], tf.string))
    assert result.tokens.shape == (0, 77) and result.truncated.shape == (0,)


@pytest.mark.parametrize("character", ["a", "é", "日", "😀"])
@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_a_prompt_over_eight_kibibytes_is_cut_between_characters(
    character: str, before: int, tokenizer: Any
) -> None:
    size = len(character.encode())
    fits = (MAX_PROMPT_BYTES - before) // size
    over = ("b" * before + character * (fits + 5)).encode()
    kept = ("b" * before + character * fits).encode()
    cut, whole = tokenizer([over]), tokenizer([kept])
    assert (cut.tokens.numpy() == whole.tokens.numpy()).all()
    assert int(cut.prompt_tokens[0]) == int(whole.prompt_tokens[0])
    assert bool(cut.truncated[0])


def test_over_eight_kibibytes_of_spaces_count_as_truncated(tokenizer: Any) -> None:
    result = tokenizer([b" " * MAX_PROMPT_BYTES + b"cat"])
    assert int(result.prompt_tokens[0]) == 2 and bool(result.truncated[0])


def test_a_megabyte_without_a_character_boundary_is_cut_too(tokenizer: Any) -> None:
    result = tokenizer([b"\x80" * 1_000_000])
    assert int(result.prompt_tokens[0]) == MAX_PROMPT_BYTES + 2 and bool(result.truncated[0])


def test_a_number_too_long_for_python_reads_as_the_replacement_character(tokenizer: Any) -> None:
    long = tokenizer([b"&#" + b"9" * 5000 + b";"])
    assert (long.tokens.numpy() == tokenizer(["\ufffd".encode()]).tokens.numpy()).all()


def test_another_vocabulary_file_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "words.gz"
    path.write_bytes(b"not it")
    with pytest.raises(VocabularyError, match="checksum differs"):
        vocabulary(path)

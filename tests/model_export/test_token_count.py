"""Counting tokens without TensorFlow: the count that the graph reports."""

from __future__ import annotations

import random
import string
import subprocess
import sys
import time
from typing import Any

import pytest

from model_export.spec import MAX_PROMPT_BYTES
from model_export.token_count import token_count, truncation
from tests.model_export.conftest import ROOT
from tests.model_export.test_tokenizer import adversarial_prompts

pytestmark = pytest.mark.slow

LETTERS = string.ascii_lowercase
LONG_WORD_LIMIT_SECONDS = 0.3
"""CPU seconds. It takes some hundredths; joining one pair after the other over the whole word, more
than a second."""


def test_the_count_is_the_graphs_on_adversarial_prompts(tokenizer: Any) -> None:
    import tensorflow as tf

    prompts = [prompt for prompt in adversarial_prompts() if len(prompt) <= MAX_PROMPT_BYTES]
    expected = tokenizer(tf.constant(prompts)).prompt_tokens.numpy().tolist()
    assert [token_count(prompt.decode("utf-8", "replace")) for prompt in prompts] == expected


def test_the_count_is_the_graphs_on_long_words(tokenizer: Any) -> None:
    """Many joins, and in runs of one letter joins that overlap."""
    import tensorflow as tf

    choose = random.Random(1)
    words = ["".join(choose.choices(letters, k=700)) for letters in (LETTERS, "aeinrst", "ab")]
    prompts = [*words, *("a" * length for length in range(60, 70)), "photograph" * 60, "é" * 300]
    expected = tokenizer(tf.constant(prompts)).prompt_tokens.numpy().tolist()
    assert [token_count(prompt) for prompt in prompts] == expected


@pytest.mark.parametrize(
    "reference",
    [f"&#{'9' * 5000};", f"&amp;#{'9' * 5000}", f"&#{'0' * 5000}65;", f"&#{'0' * 5000}"],
)
def test_the_count_is_the_graphs_on_references_too_long_for_python(
    reference: str, tokenizer: Any
) -> None:
    prompt = f"a {reference} b"
    assert token_count(prompt) == tokenizer([prompt]).prompt_tokens.numpy()[0]


def test_the_time_is_near_to_linear_in_the_length() -> None:
    choose = random.Random(1)
    text = "".join(choose.choices(LETTERS, k=MAX_PROMPT_BYTES))
    token_count("a cat")  # reads the vocabulary
    started = time.process_time()
    token_count(text)
    assert time.process_time() - started < LONG_WORD_LIMIT_SECONDS


@pytest.mark.parametrize("words", [0, 75])
def test_a_text_that_fits_is_not_truncated(words: int) -> None:
    assert truncation("cat " * words) is None


def test_a_text_that_does_not_fit_says_by_how_much() -> None:
    assert truncation("cat " * 76) == "has 78 tokens, but the model reads only the first 77"


def test_counting_needs_no_tensorflow() -> None:
    program = (
        "import sys; from model_export.token_count import token_count; token_count('a cat'); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)

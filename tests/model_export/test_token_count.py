"""Counting tokens without TensorFlow: the count that the graph reports."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from model_export.spec import MAX_PROMPT_BYTES
from model_export.token_count import token_count, truncation
from tests.model_export.conftest import ROOT
from tests.model_export.test_tokenizer import adversarial_prompts

pytestmark = pytest.mark.slow


def test_the_count_is_the_graphs_on_adversarial_prompts(tokenizer: Any) -> None:
    import tensorflow as tf

    prompts = [prompt for prompt in adversarial_prompts() if len(prompt) <= MAX_PROMPT_BYTES]
    expected = tokenizer(tf.constant(prompts)).prompt_tokens.numpy().tolist()
    assert [token_count(prompt.decode("utf-8", "replace")) for prompt in prompts] == expected


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

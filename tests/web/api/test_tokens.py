"""What the service says of a prompt's length before it is drawn."""

from __future__ import annotations

import asyncio
import random
import string
import time

import pytest

from model_export.spec import MAX_PROMPT_BYTES
from tests.web.in_process import InProcess, check_in_process
from tests.web.running import WebProcess

ANSWER_LIMIT_SECONDS = 2.0
"""Of a busy machine. It takes some hundredths."""


def count(web: WebProcess, prompt: str) -> dict[str, object]:
    return web.post("/api/v1/tokens", {"prompt": prompt}).json()


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [("", 2), ("a small red circle on white", 8), ("cat " * 75, 77), ("🦊 &amp;&amp; naïve", 8)],
)
def test_a_prompt_that_fits_is_counted(prompt: str, tokens: int, shared_web: WebProcess) -> None:
    answer = {"tokens": tokens, "maxTokens": 77, "truncated": False}
    assert count(shared_web, prompt) == answer


def test_a_prompt_that_is_too_long_is_counted_in_full(shared_web: WebProcess) -> None:
    answer = {"tokens": 78, "maxTokens": 77, "truncated": True}
    assert count(shared_web, "cat " * 76) == answer


def test_the_longest_prompts_are_counted_at_once(shared_web: WebProcess) -> None:
    choose = random.Random(1)
    letters = "".join(choose.choice(string.ascii_lowercase) for _ in range(MAX_PROMPT_BYTES))
    digits = f"&#{'9' * (MAX_PROMPT_BYTES - 3)};"
    count(shared_web, "a")  # reads the vocabulary
    for prompt in ("a" * MAX_PROMPT_BYTES, letters, "&" * MAX_PROMPT_BYTES, digits):
        started = time.monotonic()
        assert count(shared_web, prompt)["tokens"]
        assert time.monotonic() - started < ANSWER_LIMIT_SECONDS


def test_others_are_answered_while_prompts_are_counted() -> None:
    async def check(run: InProcess) -> None:
        counts = [
            asyncio.create_task(run.post("/api/v1/tokens", prompt=f"{number} cats"))
            for number in range(50)
        ]
        assert (await run.get("/health")).status_code == 200
        assert {answer.status_code for answer in await asyncio.gather(*counts)} == {200}

    check_in_process(check)


def test_prompts_are_counted_before_there_is_a_model() -> None:
    async def check(run: InProcess) -> None:
        answer = await run.post("/api/v1/tokens", prompt="a cat")
        assert answer.json() == {"tokens": 4, "maxTokens": 77, "truncated": False}

    check_in_process(check, waits=False, model_servers=("127.0.0.1:1",))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "prompt: Field required"),
        ({"prompt": 7}, "prompt: Input should be a valid string"),
        ({"prompt": "a", "negativePrompt": "b"}, "negativePrompt: Extra inputs"),
        ({"prompt": "a\0"}, "contains a NUL character"),
        ({"prompt": "é" * MAX_PROMPT_BYTES}, "16384 bytes long, but the limit is 8192"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(
    body: dict[str, object], message: str, shared_web: WebProcess
) -> None:
    answer = shared_web.post("/api/v1/tokens", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert message in answer.json()["error"]["message"]


def test_half_a_character_is_refused_in_words(shared_web: WebProcess) -> None:
    answer = shared_web.request(
        "POST",
        "/api/v1/tokens",
        content=b'{"prompt": "\\ud800"}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 400

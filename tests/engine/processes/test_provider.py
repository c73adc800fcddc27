"""What is shown of a provider's failure."""

from __future__ import annotations

import traceback

import pytest

from engine.processes.provider import own_words


def failed(error: BaseException, cause: BaseException | None = None) -> str:
    """The text that `pulumi.dynamic` sends for an exception, here one with a context or without."""
    try:
        try:
            if cause is not None:
                raise cause
        finally:
            raise error
    except type(error):
        return traceback.format_exc()


@pytest.mark.parametrize("cause", [None, OSError("busy"), RuntimeError("inner")])
def test_a_foreseen_failure_is_shown_in_its_own_words(cause: BaseException | None) -> None:
    assert own_words(failed(RuntimeError("port 8501 is in use: set restPort"), cause)) == (
        "port 8501 is in use: set restPort"
    )


@pytest.mark.parametrize("cause", [None, RuntimeError("inner")])
def test_anything_else_keeps_its_traceback(cause: BaseException | None) -> None:
    text = failed(KeyError("restPort"), cause)
    assert own_words(text) == text


def test_words_that_are_no_traceback_stay_as_they_are() -> None:
    assert own_words("the call was refused\nRuntimeError: x") == (
        "the call was refused\nRuntimeError: x"
    )

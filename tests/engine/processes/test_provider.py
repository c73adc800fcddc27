"""The text shown for a failed provider call."""

from __future__ import annotations

import traceback

import pytest

from engine.processes.provider import failure_message


def failed(error: BaseException, cause: BaseException | None = None) -> str:
    """The text that `pulumi.dynamic` sends for an exception, with or without a context."""
    try:
        try:
            if cause is not None:
                raise cause
        finally:
            raise error
    except type(error):
        return traceback.format_exc()


@pytest.mark.parametrize("cause", [None, OSError("busy"), RuntimeError("inner")])
def test_a_runtime_error_is_shown_without_its_traceback(cause: BaseException | None) -> None:
    assert failure_message(failed(RuntimeError("port 8501 is in use: set restPort"), cause)) == (
        "port 8501 is in use: set restPort"
    )


@pytest.mark.parametrize("cause", [None, RuntimeError("inner")])
def test_any_other_exception_keeps_its_traceback(cause: BaseException | None) -> None:
    text = failed(KeyError("restPort"), cause)
    assert failure_message(text) == text


def test_a_message_that_is_not_a_traceback_is_unchanged() -> None:
    assert failure_message("the call was refused\nRuntimeError: x") == (
        "the call was refused\nRuntimeError: x"
    )

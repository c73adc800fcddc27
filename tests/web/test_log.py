"""The log's format."""

from __future__ import annotations

import logging

import pytest

from web import log

SECRET = "a secret submarine"


def test_a_traceback_says_where_and_what_kind_but_quotes_no_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        log.start()
        try:
            try:
                raise KeyError(SECRET)
            except KeyError as error:
                raise ValueError(SECRET) from error
        except ValueError:
            logging.getLogger("web.test").exception("request %s failed", "r-1")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    text = capsys.readouterr().err
    assert "ERROR request r-1 failed" in text
    assert "test_log.py" in text
    assert "builtins.ValueError" in text
    assert "builtins.KeyError" in text
    assert SECRET not in text

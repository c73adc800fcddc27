"""The log's format."""

from __future__ import annotations

import logging

import pytest

from prediction.errors import UnexpectedAnswerError
from tests.web.jobs.fake_server import FakeServer, asked, ended, queue_before
from tests.web.jobs.virtual_time import run
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


def test_what_a_model_server_says_of_a_request_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        fake = FakeServer()
        async with queue_before(fake) as queue:
            fake.fail_next = [UnexpectedAnswerError(f"cannot draw {SECRET!r}", status="INTERNAL")]
            await ended(queue.submit(asked(SECRET)))

    with caplog.at_level(logging.INFO):
        run(main())
    assert "UnexpectedAnswerError INTERNAL" in caplog.text
    assert SECRET not in caplog.text

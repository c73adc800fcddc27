"""The log accepts any text."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from devserver import log


def test_text_that_utf_8_cannot_encode_is_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise logging writes to stderr, and a server whose stderr is not read would block."""
    file = tmp_path / "server.log"
    log.start(str(file))
    logger = logging.getLogger("devserver")
    try:
        logger.error("half a pair: \ud991, é")
    finally:
        for handler in logger.handlers:
            handler.close()
        logger.handlers = []
    assert file.read_text().endswith("ERROR half a pair: \\ud991, é\n")
    assert capsys.readouterr().err == ""

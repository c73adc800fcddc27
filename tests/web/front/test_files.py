"""What a front is given in files."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.web.stub_model_server import Behaviour, description_of
from web.errors import StartError
from web.front.files import WorkerKey, served_by_workers

DESCRIPTION = description_of(Behaviour(default_steps=7, image_size=512))


def test_the_description_is_what_the_model_s_signature_answers(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text(json.dumps(DESCRIPTION))
    served = served_by_workers(str(file))
    assert served.description
    assert (served.description.fingerprint, served.description.draws_in_chunks) == ("stub-1", True)
    assert (served.limits.default_steps, served.limits.image_size) == (7, 512)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe", "it is not UTF-8"),
        (b"[]", "is not understood"),
        (b"[" * 100_000, "is not understood"),
        (json.dumps({**DESCRIPTION, "format": 2}).encode(), "its format is 2"),
        (json.dumps({**DESCRIPTION, "limits": {"maxSteps": "many"}}).encode(), "maxSteps"),
        (json.dumps({"format": 1, "limits": {}}).encode(), "it has no key 'family'"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_description_that_cannot_be_used_is_one_line(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "model.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartError) as raised:
        served_by_workers(str(file))
    message = str(raised.value)
    assert message.startswith(f"the description in {file} ")
    assert words in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"two lines\nof it", "schlüssel".encode(), b"x" * 1001])
def test_a_key_that_cannot_be_sent_is_refused_at_the_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(StartError, match="it is not one line of plain characters"):
        WorkerKey(str(file))


def test_a_key_that_becomes_unreadable_stays_as_it_was_and_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key"
    file.write_text("the-secret\n")
    key = WorkerKey(str(file))
    wrong: Any
    for wrong in ("another secret", ""):
        file.write_text(wrong)
        with caplog.at_level(logging.ERROR):
            assert key.header() == {"authorization": "Bearer the-secret"}
    file.unlink()
    assert key.header() == {"authorization": "Bearer the-secret"}
    assert "the key stays as it was" in caplog.text
    assert "secret" not in caplog.text

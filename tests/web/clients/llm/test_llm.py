"""The command `llm` with its plugin llm-openai-images, unchanged, against the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.clients.environments import python_client
from tests.web.clients.pictures import from_base64
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow


def test_the_command_writes_a_picture(service: WebProcess) -> None:
    seen = python_client(Path(__file__).parent, service.url)
    from_base64(seen.returned("command"))

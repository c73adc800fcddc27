"""LlamaIndex's tool for OpenAI's pictures, unchanged, against the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.clients.environments import Seen, python_client
from tests.web.clients.pictures import from_base64, from_data_uri
from tests.web.running import WebProcess

pytestmark = pytest.mark.long  # its environment alone takes a quarter of a minute


@pytest.fixture(scope="module")
def seen(service: WebProcess) -> Seen:
    return python_client(Path(__file__).parent, service.url)


def test_the_tool_gives_the_url_of_a_picture(seen: Seen) -> None:
    from_data_uri(seen.returned("url"))


def test_the_tool_downloads_a_picture(seen: Seen) -> None:
    from_base64(seen.returned("download"))

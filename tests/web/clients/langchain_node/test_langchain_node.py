"""LangChain's DallEAPIWrapper for Node, unchanged, against the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.clients.environments import Seen, node_client
from tests.web.clients.pictures import from_base64, from_data_uri
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(service: WebProcess) -> Seen:
    return node_client(Path(__file__).parent, service.url)


def test_invoke_gives_the_url_of_a_picture(seen: Seen) -> None:
    from_data_uri(seen.returned("invoke"))


def test_two_pictures_are_two_urls(seen: Seen) -> None:
    first, second = seen.returned("invoke_for_two_pictures")
    assert first["image_url"] != second["image_url"]
    from_data_uri(first["image_url"])
    from_data_uri(second["image_url"])


def test_base64_is_a_picture(seen: Seen) -> None:
    from_base64(seen.returned("invoke_for_base64"))

"""LangChain's DallEAPIWrapper for Python, unchanged, against the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.clients.environments import Seen, python_client
from tests.web.clients.pictures import from_data_uri
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(service: WebProcess) -> Seen:
    return python_client(Path(__file__).parent, service.url)


def test_run_gives_the_url_of_a_picture(seen: Seen) -> None:
    from_data_uri(seen.returned("run"))


def test_two_pictures_have_a_line_each(seen: Seen) -> None:
    first, second = seen.returned("run_for_two_pictures").split("\n")
    assert first != second
    from_data_uri(first)
    from_data_uri(second)

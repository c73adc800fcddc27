"""Clients that others wrote, unchanged, against a service that asks for a key."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.web.clients.environments import Seen, python_client
from tests.web.clients.pictures import from_base64
from tests.web.keys import ALICE
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent

CLIENTS = {
    "openai_python": "AuthenticationError",
    "litellm": "AuthenticationError",
    "webuiapi": "RuntimeError",
}
"""What each raises for a key that the service does not know."""


@pytest.fixture(scope="module")
def seen_by(keyed_service: WebProcess) -> Callable[[str], Seen]:
    @cache
    def seen(client: str) -> Seen:
        # LiteLLM's import else asks for a list of prices elsewhere.
        variables = {"KEY": ALICE, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return python_client(HERE / client, keyed_service.url, "keyed.py", **variables)

    return seen


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_with_its_key_gets_a_picture(client: str, seen_by: Callable[[str], Seen]) -> None:
    from_base64(seen_by(client).returned("drawn"))


@pytest.mark.parametrize(("client", "error"), CLIENTS.items())
def test_a_client_with_another_key_says_so(
    client: str, error: str, seen_by: Callable[[str], Seen]
) -> None:
    raised = seen_by(client).raised("refused")
    assert raised["class"] == error
    assert "ask whoever runs it for yours" in raised["text"]


def test_openais_sdk_comes_again_if_the_key_has_too_many_jobs(
    seen_by: Callable[[str], Seen],
) -> None:
    fewest, most = sorted(seen_by("openai_python").returned("drawn_with_more_jobs_than_allowed"))
    assert (fewest, most >= 1) == (0, True)
